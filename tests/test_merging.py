"""Methods that merge: equal to a whole sequence with other rows, hidden keys and biased scores."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from iwp.pruners import Uniform
from iwp.pruning import prune
from iwp.types import Trace
from tests import hiding as truths
from tests.families import FAMILIES
from tests.hiding import NEAR, dropped_columns, hiding, visual_columns
from tests.neighbours import Everything, Neighbours, all_means
from tests.prompts import SMALL, TALL, WIDE, batch, written

STEPS = 5
ONE = ((WIDE, "What is it?"),)
PAIR = (*ONE, (TALL, "and", SMALL, "differ how?"))
TEXT = (*ONE, ("Only words here.",))

families = pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl", "qwen3_vl"])
kernels = pytest.mark.parametrize("kernel", ["sdpa", "eager"])
layers = pytest.mark.parametrize("layer", [0, 1, 4])
sizes = pytest.mark.parametrize("sized", [True, False], ids=["sized", "rows"])


@cache
def model(family: str, kernel: str) -> Any:
    """In float64, but for eager attention, which has its softmax in float32. Do not change it."""
    network = FAMILIES[family].model(kernel)
    return network if kernel == "eager" else network.double()


def inputs_of(family: str, prompts: Any = ONE) -> dict[str, Any]:
    return batch(FAMILIES[family], *prompts)


def truth(network: Any, ids: Tensor, trace: Trace, pruner: Neighbours, copies: int = 1) -> Any:
    """The whole sequence, with what the cut did told by the trace alone."""
    columns = visual_columns(network, ids)
    cuts = trace.cuts[: copies * len(columns) : copies]
    dropped = dropped_columns(network, ids, trace, copies)
    return hiding(network, dropped, pruner.layer, all_means(columns, cuts, pruner.sized))


def agree(network: Any, inputs: dict[str, Any], pruner: Neighbours, **options: Any) -> Trace:
    with prune(network, pruner) as trace:
        tokens, logits = written(network, inputs, max_new_tokens=STEPS, **options)
    ids, copies = inputs["input_ids"], options.get("num_beams", 1)
    with truth(network, ids, trace, pruner, copies):
        true_tokens, true_logits = written(network, inputs, max_new_tokens=STEPS, **options)
    assert torch.equal(tokens, true_tokens)
    assert (logits - true_logits).abs().max() < NEAR
    with hiding(network, dropped_columns(network, ids, trace, copies), pruner.layer):
        merely_dropped = written(network, inputs, max_new_tokens=1, **options)[1]
    assert (logits[:1, 0] - merely_dropped[:1, 0]).abs().max() > 10 * NEAR
    return trace


@families
@kernels
@layers
@sizes
def test_generate(family: str, kernel: str, layer: int, sized: bool) -> None:
    trace = agree(model(family, kernel), inputs_of(family), Neighbours(layer=layer, sized=sized))
    (cut,) = trace.cuts
    assert cut.into is not None
    assert torch.equal(cut.into[cut.kept], cut.kept)
    assert set(cut.into.tolist()) == {-1, *cut.kept.tolist()}


@families
@kernels
@layers
def test_batches(family: str, kernel: str, layer: int) -> None:
    network, pruner = model(family, kernel), Neighbours(layer=layer)
    agree(network, inputs_of(family, PAIR), pruner)
    with prune(network, pruner):
        together = written(network, inputs_of(family, PAIR), max_new_tokens=STEPS)[1]
    for row, prompt in enumerate(PAIR):
        with prune(network, pruner):
            alone = written(network, inputs_of(family, (prompt,)), max_new_tokens=STEPS)[1]
        assert (alone[0] - together[row]).abs().max() < NEAR


@kernels
@layers
def test_a_prompt_without_a_picture_stays_as_it_is(kernel: str, layer: int) -> None:
    trace = agree(
        model("llava_onevision", kernel),
        inputs_of("llava_onevision", TEXT),
        Neighbours(layer=layer),
    )
    assert trace.cuts[1].into is None


@families
@pytest.mark.parametrize("layer", [0, 2])
def test_beams(family: str, layer: int) -> None:
    pruner = Neighbours(layer=layer)
    agree(model(family, "sdpa"), inputs_of(family, PAIR), pruner, num_beams=2)


@pytest.mark.parametrize("layer", [0, 2])
def test_without_a_cache(layer: int) -> None:
    network = model("llava_onevision", "sdpa")
    agree(network, inputs_of("llava_onevision"), Neighbours(layer=layer), use_cache=False)


@families
@kernels
@pytest.mark.parametrize("layer", [0, 2])
@sizes
def test_where_all_tokens_stay(family: str, kernel: str, layer: int, sized: bool) -> None:
    network, pruner = model(family, kernel), Everything(budget=1.0, layer=layer, sized=sized)
    for prompts in (ONE, PAIR):
        inputs = inputs_of(family, prompts)
        trace = truths.agree(network, inputs, pruner, max_new_tokens=STEPS)
        assert [len(cut.kept) for cut in trace.cuts] == trace.n_visual
    logits = []
    for other in (pruner, Uniform(budget=1.0, layer=layer), Everything(1.0, layer, not sized)):
        with prune(network, other):
            logits.append(written(network, inputs_of(family), max_new_tokens=1)[1])
    assert all((logits[0] - other).abs().max() > 10 * NEAR for other in logits[1:])
