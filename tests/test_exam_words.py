"""What the exam's words may be: budgets, and names for --again and --explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iwp import adapters
from iwp.adapters.base import VLM
from iwp.errors import InputError, IWPError
from iwp.exam import answering, command
from iwp.exam.entries import entries, method_of, names_in
from iwp.pruners import FastV


@pytest.fixture(scope="module")
def demo() -> VLM:
    return adapters.load("demo", device="cpu")


@pytest.fixture
def waiting(demo: VLM, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The model is there; where questions would be asked, a number is noted."""
    asked: list[int] = []

    def note(*_: Any) -> None:
        asked.append(1)
        raise IWPError("Questions would be asked now.")

    monkeypatch.setattr(adapters, "load", lambda _: demo)
    monkeypatch.setattr(command, "answer_all", note)
    return asked


def test_an_exam_that_nobody_can_take_says_why(demo: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, view: Any) -> None:
        raise IWPError("FastV does not like this model.")

    monkeypatch.setattr(FastV, "rank", refuse)
    plan = answering.Plan("demo", "fastv", (0.2, 0.1), "cut", 0, 1, ("color",), Path("-"))
    with pytest.raises(InputError) as told:
        answering.taking_part(demo, plan)
    assert str(told.value).count("FastV does not like this model.") == 1


def test_budgets_with_one_name_are_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(adapters, "load")
    with pytest.raises(InputError, match=r"0\.111 and 0\.1112 are both 11\.1%"):
        command.main(["--budgets", "0.111", "0.222,0.1112"])


@pytest.mark.parametrize("option", ["--again", "--explain"])
def test_who_takes_no_part_is_refused(waiting: list[int], option: str) -> None:
    with pytest.raises(InputError, match=f"{option} names 'dart'.*full, iwp"):
        command.main(["--limit", "10", "--methods", "full,iwp", option, "dart"])
    assert not waiting


def test_a_list_of_numbers_is_one_name(waiting: list[int]) -> None:
    method = "pyramiddrop:later=[3,5]"
    assert names_in(f"iwp, {method}") == ["iwp", method]
    words = ["--limit", "10", "--methods", f"iwp,{method}", "--again", f"{method},iwp"]
    with pytest.raises(IWPError, match="would be asked"):
        command.main([*words, "--explain", method])
    assert waiting


@pytest.mark.parametrize("convention", ["cut", "average"])
def test_a_name_says_its_method(demo: VLM, convention: Any) -> None:
    words = "full,fastv,divprune:layer=0,pyramiddrop:later=[3, 5]"
    found, _ = entries(demo, words, [0.7], convention)
    assert len(found) == 4
    assert [method_of(entry.name) for entry in found] == [entry.method for entry in found]


def test_an_entry_says_where_it_really_cuts(demo: VLM) -> None:
    found, _ = entries(demo, "full,vtw,iwp", [1.0, 0.6, 0.4], "average")
    depth = len(demo.adapter.decoder_layers)
    expected = {"full": [""], "vtw": ["", str(round(0.6 * depth)), str(round(0.4 * depth))]}
    for method, layers in expected.items():
        assert [entry.layers for entry in found if entry.method == method] == layers
    assert [entry.layers for entry in found if entry.method == "iwp"] == ["", "4"]
