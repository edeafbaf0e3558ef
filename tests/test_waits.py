"""How often the host waits for the device while a prompt is read: rows are counted on the host."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from iwp import generate
from iwp.budget import keep_count
from iwp.pruners import IWP, DivPrune, FastV, PyramidDrop
from tests.families import FAMILIES
from tests.prompts import model
from tests.test_prefill_memory import N, prompt
from tests.waiting import Marked


def waited(network: Any, work: Any, *there: torch.Tensor) -> Marked:
    with Marked(*there, *network.parameters()) as marked:
        work()
    return marked


def row_ends(network: Any) -> list[tuple[int, ...]]:
    """Which tokens end rows is looked up before the first layer, where a model has such tokens."""
    return [(N,)] if hasattr(network.model, "image_newline") else []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prefill_waits_for_nothing(family: str) -> None:
    network = model(family)
    embeds, visual = prompt()
    found = waited(network, lambda: generate.prefill(network, embeds, visual), embeds)
    assert (found.waits, found.transfers) == ([], [])


@pytest.mark.parametrize(
    "method", [IWP(0.2, layer=3), FastV(0.2, layer=3), DivPrune(0.2)], ids=lambda one: one.name
)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_waits_for_what_was_chosen_alone(family: str, method: Any) -> None:
    network = model(family)
    embeds, visual = prompt()
    found = waited(
        network, lambda: generate.prefill(network, embeds, visual, pruner=method), embeds
    )
    assert found.waits == []
    assert found.transfers == [*row_ends(network), (keep_count(N, 0.2),), (N,)]  # kept, scores


def test_every_cut_waits_once() -> None:
    network = model("llava_onevision")
    embeds, visual = prompt()
    method = PyramidDrop(budget=0.5, layer=1, later=(2, 4))
    found = waited(
        network, lambda: generate.prefill(network, embeds, visual, pruner=method), embeds
    )
    assert found.waits == []
    assert len(found.transfers) == 1 + 2 * 3


def test_what_waits_is_seen() -> None:
    there, here = torch.arange(4.0), torch.arange(4.0)
    with Marked(there) as marked:
        twice = 2 * there
        assert int(twice.argmax()) == 3
        assert twice[twice > 2].shape == (2,)
        assert twice.tolist() == [0, 2, 4, 6]
        assert int(here.argmax()) == 3
        assert here.nonzero().shape == (3, 1)
        assert int(twice.cpu().sum()) == 12
    assert marked.waits == ["_local_scalar_dense", "index"]
    assert marked.transfers == [(4,), (4,)]
