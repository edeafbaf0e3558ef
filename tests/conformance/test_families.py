"""Families x methods x kernels x cut layers x {generate(), own loop}: one truth for all.

The truth is `tests.hiding`: dropping tokens before layer L equals hiding their keys from layer L
on, with what kept tokens become put into their rows. The registries `FAMILIES` and `PRUNERS` are
read: a new family or method is checked here as soon as it is registered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch

from iwp import generate
from iwp.adapters import ADAPTERS
from iwp.budget import keep_count
from iwp.media import open_picture
from iwp.pruners import PRUNERS, Uniform
from iwp.pruning import prune
from tests import tiny
from tests.families import FAMILIES
from tests.hiding import NEAR, became_of, choices_of, dropped_columns, hiding, visual_columns
from tests.prompts import made, model, written

KERNELS = ("sdpa", "eager")
METHODS = list(PRUNERS.values())
BUDGET = 0.3
STEPS = 4
# The kernels differ in their masks only: three layers tell for the second one.
CELLS = [("sdpa", layer) for layer in range(tiny.LAYERS + 1)] + [("eager", at) for at in (0, 1, 3)]
Checked = Callable[[str, str], None]

families = pytest.mark.parametrize("family", FAMILIES)
kernels = pytest.mark.parametrize("kernel", KERNELS)


@cache
def prompt(family: str) -> dict[str, Any]:
    return FAMILIES[family].inputs()


@cache
def baseline(family: str, kernel: str) -> tuple[torch.Tensor, torch.Tensor]:
    return written(model(family, kernel), prompt(family), max_new_tokens=STEPS)


def check(family: str, kernel: str, pruner: Any) -> None:
    """One cell with stock generate(): equal to the truth, and different from no cut at all."""
    network, inputs = model(family, kernel), prompt(family)
    with choices_of(pruner) as choices, prune(network, pruner) as trace:
        tokens, logits = written(network, inputs, max_new_tokens=STEPS)
    if pruner.layer == tiny.LAYERS:
        assert not trace.cuts
        assert torch.equal(logits, baseline(family, kernel)[1])
        return
    (n,), ids = trace.n_visual, inputs["input_ids"]
    assert n == len(visual_columns(network, ids)[0])
    assert len(trace.cuts[0].kept) == keep_count(n, BUDGET) or not pruner.nested
    became = became_of(network, ids, choices)
    with hiding(network, dropped_columns(network, ids, trace), pruner.layer, became):
        true_tokens, truth = written(network, inputs, max_new_tokens=STEPS)
    assert torch.equal(tokens, true_tokens)
    assert (logits - truth).abs().max() < NEAR
    assert (logits[:, 0] - baseline(family, kernel)[1][:, 0]).abs().max() > 10 * NEAR


@families
@pytest.mark.parametrize(("kernel", "layer"), CELLS)
def test_every_layer(checked: Checked, family: str, kernel: str, layer: int) -> None:
    # Methods take turns: a cut does not depend on who asked for it.
    check(family, kernel, made(METHODS[layer % len(METHODS)], budget=BUDGET, layer=layer))
    checked(family, f"{kernel}, generate()")


@families
@pytest.mark.parametrize("method", METHODS, ids=PRUNERS)
def test_every_method(checked: Checked, family: str, method: Any) -> None:
    check(family, "sdpa", made(method, budget=BUDGET, layer=2))
    checked(family, "methods")


@families
@kernels
def test_a_whole_budget_is_the_baseline(checked: Checked, family: str, kernel: str) -> None:
    network, inputs = model(family, kernel), prompt(family)
    for layer in (0, 2):
        with prune(network, Uniform(budget=1.0, layer=layer)) as trace:
            tokens, logits = written(network, inputs, max_new_tokens=STEPS)
        assert len(trace.cuts[0].kept) == trace.n_visual[0]
        assert torch.equal(tokens, baseline(family, kernel)[0])
        assert torch.equal(logits, baseline(family, kernel)[1])
    checked(family, "budget 1.0")


@families
def test_the_model_is_as_it_was(checked: Checked, family: str) -> None:
    network, inputs = model(family), prompt(family)

    def state() -> list[Any]:
        return [(set(vars(module)), len(module._forward_pre_hooks)) for module in network.modules()]

    baseline(family, "sdpa")
    before = state()
    weights = {name: weight.clone() for name, weight in network.state_dict().items()}

    def stumble() -> None:
        with prune(network, Uniform(budget=BUDGET, layer=2)):
            written(network, inputs, max_new_tokens=1)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stumble()
    assert state() == before
    assert all(torch.equal(weights[name], now) for name, now in network.state_dict().items())
    assert torch.equal(
        written(network, inputs, max_new_tokens=1)[1][0, 0], baseline(family, "sdpa")[1][0, 0]
    )
    checked(family, "restored")


# --- the project's own loop, through the adapters --------------------------------------------


@cache
def prepared(family: str, kernel: str) -> tuple[Any, dict[str, Any]]:
    adapter = ADAPTERS[family](model(family, kernel), FAMILIES[family].processor())
    ready = adapter.prepare(open_picture(tiny.picture()), "What is it?")
    return ready, dict(adapter.inputs(ready, *adapter.encode_and_look(ready)))


def looped(family: str, kernel: str, pruner: Any) -> tuple[generate.Prefill, list[int]]:
    network = model(family, kernel)
    state = generate.prefill(network, **prepared(family, kernel)[1], pruner=pruner)
    return state, list(generate.decode(network, state, STEPS, stop_ids=()))


@families
@kernels
@pytest.mark.parametrize("layer", [0, 2])
def test_own_loop(checked: Checked, family: str, kernel: str, layer: int) -> None:
    network = model(family, kernel)
    method = METHODS[layer % len(METHODS)]
    state, tokens = looped(family, kernel, made(method, budget=BUDGET, layer=layer))
    ready, inputs = prepared(family, kernel)
    kept = state.trace.cuts[0].kept
    dropped = ready.visual[~torch.isin(torch.arange(len(ready.visual)), kept)]
    ranking = generate.rank(network, **inputs, pruner=made(method, layer=layer))
    assert torch.equal(kept, (ranking.ranks < len(kept)).nonzero().flatten())
    with hiding(network, [dropped], layer):
        truth, true_tokens = looped(family, kernel, None)
    assert (state.logits - truth.logits).abs().max() < NEAR
    assert tokens == true_tokens
    checked(family, f"{kernel}, own loop")
