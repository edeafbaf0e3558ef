"""What a prefill leaves behind: no full-length rows, no logits but the last, an exact cache."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import Tensor

from iwp import generate, measure
from iwp.budget import keep_count
from iwp.pruners import IWP, DivPrune, PyramidDrop
from tests import tiny
from tests.families import FAMILIES, Family

WIDTH, KV_WIDTH, BYTES = 64, 2 * 16, 4  # of the tiny models, float32
N, BEFORE, AFTER = 200, 9, 30


def prompt() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    embeds = torch.randn(1, BEFORE + N + AFTER, WIDTH, generator=generator)
    return embeds, torch.arange(BEFORE, BEFORE + N)


def long_storages() -> set[int]:
    """Addresses of what Python's tensors hold, views included, where it is as large as the rows."""
    size = (BEFORE + N + AFTER) * WIDTH * BYTES
    held = [t.untyped_storage() for t in gc.get_objects() if issubclass(type(t), Tensor)]
    return {storage.data_ptr() for storage in held if storage.nbytes() >= size}


@pytest.mark.parametrize(
    "method",
    [IWP(0.2, layer=2), IWP(0.2, layer=2, duplication="hidden"), DivPrune(0.2)],
    ids=["iwp", "hidden", "projector"],
)
def test_no_full_length_rows_outlive_the_cut(tiny_model: Any, method: Any) -> None:
    embeds, visual = prompt()
    before, left = long_storages(), []
    # The caller of a layer holds its input until it returns: the layer after it is the first that
    # can be without.
    layer = tiny_model.get_decoder().layers[method.layer + 1]
    watching = layer.register_forward_pre_hook(lambda *_: left.append(long_storages() - before))
    try:
        state = generate.prefill(tiny_model, embeds, visual, pruner=method)
    finally:
        watching.remove()
    assert left == [set()]
    assert long_storages() <= before
    assert len(state.trace.cuts[-1].kept) == keep_count(N, 0.2)


def test_without_a_cut_the_rows_are_there(tiny_model: Any) -> None:
    """The test above can fail: a later layer of a full prefill is given full-length rows."""
    embeds, visual = prompt()
    before, left = long_storages(), []
    layer = tiny_model.get_decoder().layers[3]
    watching = layer.register_forward_pre_hook(lambda *_: left.append(long_storages() - before))
    try:
        generate.prefill(tiny_model, embeds, visual)
    finally:
        watching.remove()
    assert len(left[0]) > 0


def test_a_ranking_leaves_no_rows(tiny_model: Any) -> None:
    embeds, visual = prompt()
    before = long_storages()
    gc.disable()  # a cycle would keep them until the collector comes by
    try:
        ranking = generate.rank(tiny_model, embeds, visual, IWP(layer=2), errors=True)
        left = long_storages()
    finally:
        gc.enable()
    assert left <= before
    assert len(ranking.ranks) == N


@pytest.mark.parametrize(
    "method",
    [
        None,
        IWP(0.3, layer=2),
        DivPrune(0.3),
        PyramidDrop(**PyramidDrop.suited(tiny.LAYERS, {}), budget=0.5),
    ],
    ids=lambda method: getattr(method, "name", "none"),
)
def test_the_cache_holds_exactly_the_rows_of_each_layer(tiny_model: Any, method: Any) -> None:
    embeds, visual = prompt()
    state = generate.prefill(tiny_model, embeds, visual, pruner=method)
    left = {cut.layer: len(cut.kept) for cut in state.trace.cuts}
    rows, expected = N, 0
    for layer in range(tiny.LAYERS):
        rows = left.get(layer, rows)
        expected += 2 * KV_WIDTH * BYTES * (BEFORE + rows + AFTER)
    assert measure.kv_bytes(state.cache) == expected
    held = {
        table.untyped_storage().data_ptr(): table.untyped_storage().nbytes()
        for layer in state.cache.layers
        for table in (layer.keys, layer.values)
    }
    assert sum(held.values()) == expected  # no views of something longer
    if method is not None:
        assert rows == left[max(left)] < N


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_only_the_last_row_meets_the_vocabulary(family: Family) -> None:
    model, seen = family.model(), []
    embeds, visual = prompt()
    model.get_output_embeddings().register_forward_pre_hook(
        lambda _, args: seen.append(args[0].shape[1])
    )
    for pruner in (None, IWP(0.3, layer=2)):
        generate.prefill(model, embeds, visual, pruner=pruner)
    assert seen == [1, 1]


def test_a_prefill_selects_and_does_not_rank(
    tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of all tokens is for the slider, and is made outside of what is timed."""
    embeds, visual = prompt()
    kept = generate.rank(tiny_model, embeds, visual, IWP(layer=2)).ranks < keep_count(N, 0.2)
    asked = []
    order = IWP._order

    def noting(self: IWP, view: Any, logs: Tensor, keep: int) -> Tensor:
        asked.append(keep)
        return order(self, view, logs, keep)

    monkeypatch.setattr(IWP, "_order", noting)
    state = generate.prefill(tiny_model, embeds, visual, pruner=IWP(0.2, layer=2))
    assert asked == [keep_count(N, 0.2)]
    assert torch.equal(state.trace.cuts[0].kept, kept.nonzero().flatten())
