"""Families x methods that merge: the same truth for other rows and biased scores.

Every method of `PRUNERS` that says it `merges` is checked, and again with its sizes where it has an
option for them. `test_families` covers stock generate() on sdpa.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from iwp import generate
from iwp.pruners import PRUNERS, Choice, Pruner
from tests.conformance.test_families import (
    BUDGET,
    STEPS,
    Checked,
    families,
    kernels,
    looped,
    prepared,
)
from tests.families import FAMILIES
from tests.hiding import NEAR, agree, as_chosen, choices_of, dropped_of, hiding
from tests.prompts import SMALL, WIDE, batch, made, model

LAYER = 2


def variants() -> dict[str, tuple[type[Pruner], dict[str, Any]]]:
    """Each merging method as it is, and with sizes where they are an option that is off."""
    found = {}
    for name, method in PRUNERS.items():
        if method.merges:
            found[name] = (method, {})
            if getattr(method, "proportional", None) is False:
                found[f"{name}, sized"] = (method, {"proportional": True})
    return found


VARIANTS = variants()
methods = pytest.mark.parametrize("name", VARIANTS)


def pruner_of(name: str) -> Pruner:
    method, options = VARIANTS[name]
    pruner: Pruner = made(method, budget=BUDGET, layer=LAYER, **options)
    return pruner


def check_choice(choice: Choice, n: int, width: int) -> None:
    """What a method says of n tokens hangs together."""
    kept, into = choice.kept, choice.into
    assert into is not None
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert torch.equal(into[kept], kept)
    assert into.shape == (n,)
    assert set(into.tolist()) <= {-1, *kept.tolist()}
    assert choice.rows is not None
    assert choice.rows.shape == (len(kept), width)
    assert bool(choice.rows.isfinite().all())
    if choice.sizes is not None:
        assert choice.sizes.shape == kept.shape
        assert bool((choice.sizes >= 1).all())


@families
@methods
def test_eager_attention_and_unequal_prompts(checked: Checked, family: str, name: str) -> None:
    pruner, network = pruner_of(name), model(family, "eager")
    inputs = batch(FAMILIES[family], (WIDE, "What is it?"), (SMALL, "And which one is that?"))
    agree(network, inputs, pruner, max_new_tokens=STEPS)
    checked(family, "merging, batch")


@families
@kernels
@methods
def test_own_loop(checked: Checked, family: str, kernel: str, name: str) -> None:
    pruner, network = pruner_of(name), model(family, kernel)
    ready, inputs = prepared(family, kernel)
    with choices_of(pruner) as choices:
        state, tokens = looped(family, kernel, pruner)
    (cut,), choice = state.trace.cuts, choices[-1]
    check_choice(choice, len(ready.visual), inputs["embeds"].shape[-1])
    assert cut.into is not None
    assert torch.equal(cut.into, choice.into)
    assert bool(state.biases) == (choice.sizes is not None)
    dropped = [dropped_of(ready.visual, cut)]
    with hiding(network, dropped, LAYER, [as_chosen(ready.visual, choice)]):
        truth, true_tokens = looped(family, kernel, None)
    assert (state.logits - truth.logits).abs().max() < NEAR
    assert tokens == true_tokens
    with hiding(network, dropped, LAYER):
        merely_dropped = generate.prefill(network, **inputs).logits
    assert (state.logits - merely_dropped).abs().max() > NEAR
    checked(family, f"merging, {kernel}")


def test_there_are_methods_that_merge() -> None:
    assert {"pact", "tome, sized", "visionzip", "sparsevlm"} <= set(VARIANTS)
