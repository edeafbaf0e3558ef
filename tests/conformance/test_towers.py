"""Families x methods that look at the vision tower: generate() and the own loop agree.

Both are shown what the tower's eager kernel computes: see tests/test_tower.py. A family whose
tower is unknown would refuse, in a sentence, when the pair is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from iwp import generate
from iwp.adapters import VLM
from iwp.engine import choose_method
from iwp.errors import ModelError
from iwp.pruners import PRUNERS
from iwp.pruning import prune
from iwp.tower import TOWERS
from tests.families import FAMILIES
from tests.looking import prepared
from tests.prompts import made, model, written

LOOKING = {name: method for name, method in PRUNERS.items() if method.needs_tower}
BUDGET = 0.3
Checked = Callable[[str, str], None]

families = pytest.mark.parametrize("family", FAMILIES)
methods = pytest.mark.parametrize("method", LOOKING.values(), ids=LOOKING)


@families
@methods
@pytest.mark.parametrize("layer", [0, 3])
def test_generate_and_the_own_loop_keep_the_same(
    checked: Checked, family: str, method: Any, layer: int
) -> None:
    network = model(family)
    pruner = made(method, budget=BUDGET, layer=layer)
    _, inputs = prepared(family)
    with prune(network, pruner) as trace:
        written(network, FAMILIES[family].inputs(), max_new_tokens=1)
    state = generate.prefill(network, **inputs, pruner=pruner)
    ranking = generate.rank(network, **inputs, pruner=pruner)
    (stock,), (own,) = trace.cuts, state.trace.cuts
    assert 0 < len(own.kept) < trace.n_visual[0]
    assert torch.equal(stock.kept, own.kept)
    assert torch.equal(own.kept, (ranking.ranks < len(own.kept)).nonzero().flatten())
    checked(family, "tower methods")


@families
@methods
def test_the_tower_decides(family: str, method: Any) -> None:
    """Other numbers from the tower: other tokens."""
    network, pruner = model(family), made(method, budget=BUDGET, layer=2)
    _, inputs = prepared(family)
    kept = generate.prefill(network, **inputs, pruner=pruner).trace.cuts[0].kept
    inputs["tower"] = inputs["tower"].take(torch.arange(len(inputs["visual"])).flip(0))
    other = generate.prefill(network, **inputs, pruner=pruner).trace.cuts[0].kept
    assert kept.tolist() != other.tolist()


@families
@pytest.mark.parametrize("name", LOOKING)
def test_a_pair_is_refused_when_it_is_made(
    monkeypatch: pytest.MonkeyPatch, family: str, name: str
) -> None:
    adapter = prepared(family)[0]
    vlm = VLM(adapter.model, adapter.processor, adapter, family, torch.device("cpu"), "sdpa")
    assert choose_method(vlm, BUDGET, name).name == name
    monkeypatch.delitem(TOWERS, family)
    with pytest.raises(ModelError, match=f"models of type {family}; choose a method"):
        choose_method(vlm, BUDGET, name)
    assert choose_method(vlm, BUDGET, "iwp").name == "iwp"
