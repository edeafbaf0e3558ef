"""Methods that cut several times: the truth is the whole sequence, more and more keys hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from iwp import generate
from iwp.errors import InputError, IWPError
from iwp.pruners import IWP, VTW, Pruner, PyramidDrop, Random, V2Drop
from iwp.pruning import prune
from iwp.support import cache_argument, cache_in
from iwp.trunk import Trunk
from iwp.types import Trace
from tests import tiny
from tests.families import FAMILIES
from tests.hiding import NEAR, dropped_of, hiding_from, visual_columns
from tests.prompts import SMALL, TALL, WIDE, batch, model, written
from tests.test_generate import embedded

STEPS = 4


@dataclass(frozen=True)
class Mixed(Pruner):
    """Several cuts of any kind."""

    name: ClassVar[str] = "mixed"
    of: tuple[Pruner, ...] = ()

    @property
    def cuts(self) -> tuple[Pruner, ...]:
        return self.of

    def rank(self, view: Any) -> Any:
        return self.of[0].rank(view)


def mixed(*cuts: Pruner) -> Mixed:
    return Mixed(cuts[0].budget, cuts[0].layer, cuts)


METHODS = {
    "pyramiddrop": PyramidDrop(budget=0.5, layer=1, later=(2, 4)),
    "from the start": PyramidDrop(budget=0.6, layer=0, later=(3, 5)),
    "v2drop": V2Drop(budget=0.5, layer=1, later=(3, 4)),
    "row ends": V2Drop(budget=0.4, layer=2, later=(3,), last=0.5, separators="kept"),
    "the first keeps all": mixed(IWP(budget=1.0, layer=1), Random(budget=0.3, layer=3)),
    "the second keeps all": mixed(Random(budget=0.3, layer=1), IWP(budget=1.0, layer=3)),
    "then none": mixed(Random(budget=0.5, layer=2), VTW(layer=4)),
    "none, then nothing": mixed(VTW(layer=2), IWP(layer=4)),
}
methods = pytest.mark.parametrize("name", METHODS)


def dropped_at(network: Any, ids: Tensor, trace: Trace, copies: int) -> dict[int, list[Tensor]]:
    """For each layer, the columns of every prompt that are gone from there on."""
    visual, found = visual_columns(network, ids), {}
    cuts = trace.cuts[::copies]
    for first in range(0, len(cuts), len(visual)):
        some = cuts[first : first + len(visual)]
        assert len({cut.layer for cut in some}) == 1
        found[some[0].layer] = [
            dropped_of(columns, cut) for columns, cut in zip(visual, some, strict=True)
        ]
    return found


def agree(network: Any, inputs: dict[str, Any], pruner: Pruner, **options: Any) -> Trace:
    with prune(network, pruner) as trace:
        tokens, logits = written(network, inputs, max_new_tokens=STEPS, **options)
    rows = inputs["input_ids"].shape[0]
    layers = len({cut.layer for cut in trace.cuts})
    dropped = dropped_at(network, inputs["input_ids"], trace, len(trace.cuts) // (rows * layers))
    assert list(dropped) == [cut.layer for cut in pruner.cuts]
    with hiding_from(network, dropped):
        true_tokens, truth = written(network, inputs, max_new_tokens=STEPS, **options)
    assert torch.equal(tokens, true_tokens)
    assert (logits - truth).abs().max() < NEAR
    last: list[set[int]] = []
    for columns in dropped.values():  # what is gone stays gone
        sets = [set(one.tolist()) for one in columns]
        assert not last or all(a <= b for a, b in zip(last, sets, strict=True))
        last = sets
    first = dict(list(dropped.items())[:1])
    with hiding_from(network, first):
        first_only = written(network, inputs, max_new_tokens=1, **options)[1]
    if sum(map(len, last)) > sum(map(len, first[pruner.cuts[0].layer])):
        assert (first_only[:, 0] - logits[:, 0]).abs().max() > 10 * NEAR
    return trace


@methods
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_every_cut_hides_more(name: str, kernel: str) -> None:
    network = model("llava_onevision", kernel)
    agree(network, FAMILIES["llava_onevision"].inputs(), METHODS[name])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["pyramiddrop", "v2drop", "from the start"])
def test_every_family(family: str, name: str) -> None:
    agree(model(family), FAMILIES[family].inputs(), METHODS[name])


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("name", ["pyramiddrop", "v2drop", "row ends", "then none"])
def test_batches_of_unequal_prompts(family: str, name: str) -> None:
    prompts = (WIDE, "What is it?"), (SMALL, TALL, "Which one?"), (SMALL, "A much longer question?")
    agree(model(family), batch(FAMILIES[family], *prompts), METHODS[name])


def test_a_prompt_without_a_picture_stays_whole() -> None:
    network = model("llava_onevision")
    inputs = batch(FAMILIES["llava_onevision"], ("Hello there.",), (TALL, "What is it?"))
    trace = agree(network, inputs, METHODS["pyramiddrop"])
    assert [len(cut.kept) for cut in trace.cuts[::2]] == [0, 0, 0]


def test_beams_go_through_every_cut() -> None:
    network = model("llava_onevision")
    agree(network, FAMILIES["llava_onevision"].inputs(), METHODS["pyramiddrop"], num_beams=2)


@methods
def test_a_trunk_gives_the_same(name: str) -> None:
    network, pruner = tiny.model(), METHODS[name]
    embeds, visual = embedded(network, tiny.inputs())
    alone = generate.prefill(network, embeds, visual, pruner=pruner)
    shared = Trunk(network, embeds, visual, pruner.layer).prefill(pruner)
    assert torch.allclose(shared.logits, alone.logits, atol=1e-5)
    for ours, theirs in zip(shared.trace.cuts, alone.trace.cuts, strict=True):
        assert (ours.layer, ours.kept.tolist()) == (theirs.layer, theirs.kept.tolist())
    lengths = [[c.get_seq_length() for c in s.cache.layers] for s in (shared, alone)]
    assert lengths[0] == lengths[1]
    answers = [list(generate.decode(network, s, STEPS, stop_ids=())) for s in (shared, alone)]
    assert answers[0] == answers[1]


def test_a_second_turn_on_the_same_cache() -> None:
    network, pruner = tiny.model(), METHODS["pyramiddrop"]
    inputs = tiny.inputs()
    asked = {"max_new_tokens": STEPS, "do_sample": False, "return_dict_in_generate": True}
    with prune(network, pruner) as trace:
        out = network.generate(**inputs, **asked)
        more = torch.cat((out.sequences, inputs["input_ids"][:, -9:]), dim=1)
        again = network.generate(input_ids=more, **cache_argument(network, cache_in(out)), **asked)
    assert len(trace.cuts) == 3
    dropped = dropped_at(network, inputs["input_ids"], trace, 1)
    with hiding_from(network, dropped):
        true = network.generate(**inputs, **asked)
        true_again = network.generate(
            input_ids=more, **cache_argument(network, cache_in(true)), **asked
        )
    assert torch.equal(out.sequences, true.sequences)
    assert torch.equal(again.sequences, true_again.sequences)


def test_counts_are_the_authors() -> None:
    network, inputs = tiny.model(), tiny.inputs()
    with prune(network, METHODS["pyramiddrop"]) as trace:
        network(**inputs)
    (n,) = trace.n_visual
    assert [len(cut.kept) for cut in trace.cuts] == [int(n * 0.5**i) for i in (1, 2, 3)]
    assert all(cut.scores.shape == (n,) for cut in trace.cuts)
    with prune(network, METHODS["v2drop"]) as trace:
        network(**inputs)
    assert [len(cut.kept) for cut in trace.cuts] == [n // 2, n // 2 // 2, 1]


def test_places_follow_the_depth() -> None:
    assert PyramidDrop.suited(28, {"layer": 4}) == {"layer": 7, "later": (14, 21)}
    assert PyramidDrop.suited(32, {}) == {"layer": 8, "later": (16, 24)}
    assert V2Drop.suited(32, {}) == {"layer": 3, "later": (17, 22)}
    assert V2Drop.suited(28, {}) == {"layer": 3, "later": (16, 22)}
    for layers in range(6, 81):
        assert all(cut.layer < layers for cut in V2Drop(**V2Drop.suited(layers, {})).cuts)


def test_layers_that_are_missing_or_out_of_order_are_refused() -> None:
    with (
        pytest.raises(IWPError, match="before layer 16"),
        prune(tiny.model(), PyramidDrop(layer=2)),
    ):
        pass
    with pytest.raises(InputError, match="ascending"):
        PyramidDrop(layer=8, later=(8, 16))
    assert PyramidDrop(layer=1, later=[2, 3]).later == (2, 3)  # as JSON gives it
    with pytest.raises(InputError, match="fraction"):
        V2Drop(last=2.0)
    with pytest.raises(InputError, match="prunable, kept"):
        V2Drop(separators="gone")
