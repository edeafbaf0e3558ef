"""Merging in our own loop, over several turns and several cuts, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from iwp import generate
from iwp.adapters import ADAPTERS
from iwp.media import open_picture
from iwp.pruners import Random
from iwp.pruning import prune
from iwp.trunk import Trunk
from tests import tiny
from tests.families import FAMILIES
from tests.hiding import (
    NEAR,
    Became,
    as_chosen,
    choices_of,
    dropped_of,
    hiding,
    hiding_from,
    visual_columns,
)
from tests.neighbours import Everything, Neighbours, Sequenced, means
from tests.prompts import SMALL, TALL, WIDE, written
from tests.test_generate import answered
from tests.test_generate_options import longer, told
from tests.test_merging import families, inputs_of, kernels, layers, model, sizes

STEPS = 5
FAMILY = "llava_onevision"


# --- our own loop ------------------------------------------------------------------------------


def prepared(network: Any, family: str) -> tuple[Tensor, dict[str, Any]]:
    """Columns of the visual tokens, and what `prefill` takes."""
    adapter = ADAPTERS[family](network, FAMILIES[family].processor())
    ready = adapter.prepare(open_picture(tiny.picture()), "What is it?")
    return ready.visual, dict(adapter.inputs(ready, adapter.encode(ready)))


@families
@kernels
@layers
@sizes
def test_prefill_and_decode(family: str, kernel: str, layer: int, sized: bool) -> None:
    network, pruner = model(family, kernel), Neighbours(layer=layer, sized=sized)
    visual, inputs = prepared(network, family)
    state = generate.prefill(network, **inputs, pruner=pruner)
    assert list(state.biases) == ([layer] if sized else [])
    tokens, logits = answered(network, state)
    (cut,) = state.trace.cuts
    with hiding(network, [dropped_of(visual, cut)], layer, [means(visual, cut, sized)]):
        whole = generate.prefill(network, **inputs)
        true_tokens, truth = answered(network, whole)
    assert torch.equal(tokens, true_tokens)
    assert (logits - truth).abs().max() < NEAR
    # Decoding leaves nothing behind.
    assert not any(module._forward_pre_hooks for module in network.modules())


@kernels
@pytest.mark.parametrize(
    ("family", "layer"), [(FAMILY, 0), (FAMILY, 2), ("qwen2_5_vl", 0), ("qwen3_vl", 3)]
)
def test_a_trunk_gives_the_same(family: str, kernel: str, layer: int) -> None:
    network, pruner = model(family, kernel), Neighbours(layer=layer)
    _, inputs = prepared(network, family)
    alone = generate.prefill(network, **inputs, pruner=pruner)
    shared = Trunk(network, layer=layer, **inputs).prefill(pruner)
    ours, theirs = answered(network, shared), answered(network, alone)
    assert torch.equal(ours[0], theirs[0])
    assert (ours[1] - theirs[1]).abs().max() < NEAR
    assert torch.equal(shared.trace.cuts[0].into, alone.trace.cuts[0].into)


# --- several turns with one cache -----------------------------------------------------------------


@kernels
@pytest.mark.parametrize("layer", [0, 2])
def test_where_all_tokens_stay(kernel: str, layer: int) -> None:
    network, pruner = model(FAMILY, kernel), Everything(budget=1.0, layer=layer)
    visual, inputs = prepared(network, FAMILY)
    with choices_of(pruner) as choices:
        tokens, logits = answered(network, generate.prefill(network, **inputs, pruner=pruner))
        shared = Trunk(network, layer=layer, **inputs).prefill(pruner)
    with hiding(network, [visual[:0]], layer, [as_chosen(visual, choices[0])]):
        true_tokens, truth = answered(network, generate.prefill(network, **inputs))
    for ours in ((tokens, logits), answered(network, shared)):
        assert torch.equal(ours[0], true_tokens)
        assert (ours[1] - truth).abs().max() < NEAR


@pytest.mark.parametrize("family", [FAMILY, "qwen2_5_vl"])
@kernels
@pytest.mark.parametrize("prompts", [1, 2])
@pytest.mark.parametrize("method", [Neighbours, Everything])
def test_a_second_question(
    family: str, kernel: str, prompts: int, method: type[Neighbours]
) -> None:
    layer = 2
    network, pruner = model(family, kernel), method(budget=1.0, layer=layer)
    inputs = inputs_of(family, ((WIDE, "What is it?"), (TALL, "How tall is this?"))[:prompts])

    def both_turns() -> Any:
        cache = DynamicCache(config=network.config)
        return told(network, longer(told(network, inputs, cache), inputs, " And then?"), cache)

    with choices_of(pruner) as choices, prune(network, pruner) as trace:
        cut = both_turns()
    columns = visual_columns(network, inputs["input_ids"])
    assert len(trace.cuts) == len(columns) == prompts
    dropped = [dropped_of(*one) for one in zip(columns, trace.cuts, strict=True)]
    became = [as_chosen(*one) for one in zip(columns, choices, strict=True)]
    with hiding(network, dropped, layer, became):
        truth = both_turns()
    assert torch.equal(cut.sequences, truth.sequences)
    assert all((a - b).abs().max() < NEAR for a, b in zip(cut.logits, truth.logits, strict=True))


@kernels
def test_another_picture_into_the_same_cache(kernel: str) -> None:
    network, layer = model(FAMILY, kernel), 2
    first, shown = inputs_of(FAMILY), inputs_of(FAMILY, ((TALL, "And this?"),))
    ends: list[int] = []

    def both_turns() -> Any:
        cache = DynamicCache(config=network.config)
        said = told(network, first, cache)
        ids = torch.cat((said.sequences, shown["input_ids"]), dim=1)
        ends[:] = [said.sequences.shape[1], ids.shape[1]]
        more = {name: shown[name] for name in ("pixel_values", "image_sizes")}
        return told(
            network, {"input_ids": ids, "attention_mask": torch.ones_like(ids), **more}, cache
        )

    with prune(network, Neighbours(layer=layer)) as trace:
        cut = both_turns()
    (one,) = visual_columns(network, first["input_ids"])
    other = visual_columns(network, shown["input_ids"])[0] + ends[0]
    parts = [means(columns, of, True) for columns, of in zip((one, other), trace.cuts, strict=True)]
    dropped = [dropped_of(*pair) for pair in zip((one, other), trace.cuts, strict=True)]
    together = Became(
        torch.cat([part.columns for part in parts]),
        lambda rows: torch.cat([part.rows(rows) for part in parts]),
        torch.cat([part.logs for part in parts]),
    )
    with hiding(network, [torch.cat(dropped)], layer, [together]):
        truth = both_turns()
    assert torch.equal(cut.sequences, truth.sequences)
    assert all((a - b).abs().max() < NEAR for a, b in zip(cut.logits, truth.logits, strict=True))


# --- several cuts ---------------------------------------------------------------------------------

SEQUENCES = {
    "then dropped": (Neighbours(layer=1), Random(budget=0.5, layer=3)),
    "dropped first": (Random(budget=0.5, layer=1), Neighbours(layer=3)),
    "merged twice": (Neighbours(layer=1, sized=False), Neighbours(layer=3)),
    "from the start": (Neighbours(layer=0), Neighbours(layer=2, sized=False)),
    "the second keeps all": (Neighbours(layer=1), Random(budget=1.0, layer=3)),
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize(("family", "prompts"), [(FAMILY, 3), ("qwen3_vl", 1), ("qwen3_vl", 3)])
@kernels
def test_several_cuts(family: str, prompts: int, kernel: str, name: str) -> None:
    network, cuts = model(family, kernel), SEQUENCES[name]
    asked = (WIDE, "What is it?"), (SMALL, TALL, "Which one?"), (SMALL, "A much longer question?")
    inputs = inputs_of(family, asked[:prompts])
    with prune(network, Sequenced(layer=cuts[0].layer, of=cuts)) as trace:
        tokens, logits = written(network, inputs, max_new_tokens=STEPS)
    columns = visual_columns(network, inputs["input_ids"])
    dropped, became = {}, {}
    for number, pruner in enumerate(cuts):
        now = trace.cuts[number * prompts : (number + 1) * prompts]
        before = trace.cuts[:prompts] if number else [None] * prompts
        assert [cut.layer for cut in now] == [pruner.layer] * prompts
        dropped[pruner.layer] = [dropped_of(*one) for one in zip(columns, now, strict=True)]
        if isinstance(pruner, Neighbours):
            became[pruner.layer] = [
                means(some, cut, pruner.sized, last)
                for some, cut, last in zip(columns, now, before, strict=True)
            ]
    with hiding_from(network, dropped, became):
        true_tokens, truth = written(network, inputs, max_new_tokens=STEPS)
    assert torch.equal(tokens, true_tokens)
    assert (logits - truth).abs().max() < NEAR


def test_where_tokens_went_is_told_in_original_numbers() -> None:
    network, inputs = tiny.model(), tiny.inputs()
    merges = Sequenced(layer=1, of=(Neighbours(layer=1, sized=False), Neighbours(layer=3)))
    with prune(network, merges) as trace:
        network(**inputs)
    once, twice = trace.cuts
    assert once.into is not None
    # Of 3 4 5 | 6 | 7 8 ..., by hand: 0 dropped, {1, 2}, {3}, {4, 5} ...
    assert once.into[:6].tolist() == by_hand(len(once.into))[:6]
    second = by_hand(len(once.kept))
    numbers = once.kept.tolist()
    wanted = [
        -1 if to < 0 or second[numbers.index(to)] < 0 else numbers[second[numbers.index(to)]]
        for to in once.into.tolist()
    ]
    assert twice.into is not None
    assert twice.into.tolist() == wanted


def by_hand(n: int) -> list[int]:
    """Where `Neighbours` sends each of n tokens."""
    into, start = [-1] * n, 1
    while start < n - 1:
        size = start % 3 + 1
        for token in range(start, min(start + size, n - 1)):
            into[token] = min(start + size, n - 1) - 1
        start += size
    return into
