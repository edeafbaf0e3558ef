"""Methods that look at the vision tower in the engine: sessions, budgets, and whose time it is."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

import iwp
from iwp.adapters.base import Adapter
from iwp.engine import Engine
from iwp.events import Done
from iwp.settings import Settings
from iwp.types import Media, Tower
from tests import tiny
from tests.looking import Looking

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.run import Run

MEDIA = Media((tiny.picture(),))
SLOW = 1.0  # seconds, much more than everything else takes


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Engine:
    return Engine(iwp.load(str(tiny_folder), device="cpu"), Settings(max_new_tokens=2))


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Tower]:
    """Looking takes long, and is noted."""
    towers: list[Tower] = []
    really = Adapter.encode_and_look

    def slow(adapter: Adapter, prepared: Any) -> tuple[torch.Tensor, Tower]:
        features, tower = really(adapter, prepared)
        time.sleep(SLOW)
        towers.append(replace(tower, seconds=tower.seconds + SLOW))
        return features, towers[-1]

    monkeypatch.setattr(Adapter, "encode_and_look", slow)
    return towers


def done(run: Run) -> Done:
    last = list(run)[-1]
    assert isinstance(last, Done)
    return last


def test_looking_is_the_methods_time(engine: Engine, looked: list[Tower]) -> None:
    result = done(engine.compare(MEDIA, "What?", 0.3, method=Looking())).result
    assert len(looked) == 1
    whole, pruned = result.baseline.timing, result.pruned.timing
    assert whole.encode_s == pruned.encode_s < SLOW
    assert whole.selection_s == 0
    assert whole.prefill_s < SLOW
    assert SLOW < pruned.selection_s < pruned.prefill_s < pruned.total_s


def test_a_session_answers_other_budgets_by_the_same_tower(
    engine: Engine, looked: list[Tower]
) -> None:
    first = done(engine.compare(MEDIA, "What?", 0.3, method=Looking()))
    session = pickle.loads(pickle.dumps(first.session))
    assert session.tower.saliency.device.type == "cpu"
    assert session.nbytes > session.features.nbytes + session.tower.keys.nbytes
    again = done(engine.repruned(session, 0.5)).result
    fresh = done(engine.compare(MEDIA, "What?", 0.5, method=Looking())).result
    assert again.kept == fresh.kept
    assert again.pruned.answer == fresh.pruned.answer
    assert again.pruned.timing.selection_s > SLOW
    assert len(looked) == 2


def test_nobody_looks_for_other_methods(engine: Engine, looked: list[Tower]) -> None:
    last = done(engine.compare(MEDIA, "What?", 0.3))
    assert last.session.tower is None
    assert looked == []
