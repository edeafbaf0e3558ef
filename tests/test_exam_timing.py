"""What the exam times, and when it measures anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from iwp import adapters, measure
from iwp.adapters.base import VLM
from iwp.exam import command, timing
from iwp.exam.answering import Plan
from iwp.exam.entries import entries
from iwp.exam.results import Times
from iwp.scenes import exam


@pytest.fixture(scope="module")
def demo() -> VLM:
    return adapters.load("demo", device="cpu")


def test_the_tower_counts_for_those_who_ask_it(demo: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: Any) -> exam.Seen:
        features, tower = exam.see(*args)
        assert tower is not None
        return features, replace(tower, seconds=1000.0)

    monkeypatch.setattr(timing, "see", slow)
    able, _ = entries(demo, "full,iwp,vispruner", [0.1])
    found = timing.times(demo, exam.items(0, 2, ("read",)), able, 1)
    full, iwp, vispruner = (found[entry.name] for entry in able)
    assert max(*full, *iwp) < 1000
    assert 1000 < vispruner[0] < vispruner[1]


def test_times_are_measured_anew_where_anything_else_was(
    demo: VLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def note(vlm: VLM, items: Any, able: Any, questions: int) -> Times:
        measured.append(questions)
        return {entry.name: (0.1, 0.2) for entry in able}

    monkeypatch.setattr(command, "times", note)
    able, _ = entries(demo, "full,iwp", [0.1])
    plan = Plan("demo", "", (), "cut", 0, 1, ("read",), tmp_path)
    path = tmp_path / "times-cut.json"

    def ask(questions: int, count: int = 2) -> Times:
        found = command._times(demo, plan, able[:count], questions, path)
        return {name: tuple(both) for name, both in found.items()}

    assert ask(0) == {}
    assert ask(3, 1) == {"full": (0.1, 0.2)}
    assert ask(3) == ask(3) == {"full": (0.1, 0.2), "iwp 10.0%": (0.1, 0.2)}
    assert measured == [3, 3]
    ask(4)
    assert measured == [3, 3, 4]
    monkeypatch.setattr(measure, "device_name", lambda _: "another")
    ask(4)
    assert measured == [3, 3, 4, 4]
    path.write_text(json.dumps({"full": [0.1, 0.2], "iwp 10.0%": [0.1, 0.2]}))  # of who knows what
    ask(4)
    assert measured == [3, 3, 4, 4, 4]
