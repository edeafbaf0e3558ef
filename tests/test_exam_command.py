"""`python -m iwp eval scenes`: who takes part, what is written, how it goes on."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iwp import adapters
from iwp.adapters.base import VLM
from iwp.errors import InputError, IWPError
from iwp.exam import answering, command
from iwp.exam.entries import Entry, entries
from iwp.exam.explain import explained, rivals
from iwp.exam.results import Answers, rows
from iwp.exam.tables import report
from iwp.pruners import IWP, PRUNERS, FastV
from iwp.scenes import exam
from iwp.scenes.exam import Record, Said

WORDS = ["--limit", "4", "--kinds", "read,color", "--budgets", "0.222,0.111"]


@pytest.fixture(scope="module")
def demo() -> VLM:
    return adapters.load("demo", device="cpu")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- who takes part ----------------------------------------------------------------------


def test_all_is_every_method_at_every_budget(demo: VLM) -> None:
    found, refused = entries(demo, "all", [0.222, 0.05])
    assert refused == {}
    assert {entry.method for entry in found} == {"full", "oracle", *PRUNERS}
    assert len(found) == 1 + 2 * (1 + len(PRUNERS))
    assert len({entry.name for entry in found}) == len(found)


def test_a_method_may_have_options(demo: VLM) -> None:
    words = "iwp,iwp:layer=2:bandwidth=median,pyramiddrop:later=[3,5],oracle:layer=2"
    found, _ = entries(demo, words, [0.111])
    plain, changed, several, oracle = (entry.pruner for entry in found)
    assert isinstance(plain, IWP)
    assert isinstance(changed, IWP)
    assert (plain.layer, plain.bandwidth) == (4, "sqrt_d")
    assert (changed.layer, changed.bandwidth) == (2, "median")
    assert [entry.layers for entry in found] == ["4", "2", "2 3 5", "2"]
    assert several is not None
    assert oracle is not None
    assert found[1].name == "iwp:layer=2:bandwidth=median 11.1%"


def test_what_cannot_reach_a_layer_average_is_told(demo: VLM) -> None:
    found, refused = entries(demo, "iwp,fastv,divprune", [0.6, 0.4], "average")
    assert [entry.name for entry in found] == [
        "iwp 60.0% on average",
        *(
            f"{method} {share} on average"
            for method in ("fastv", "divprune")
            for share in ("60.0%", "40.0%")
        ),
    ]
    assert list(refused) == ["iwp 40.0% on average"]
    assert "earlier layer" in refused["iwp 40.0% on average"]


@pytest.mark.parametrize(
    "words", ["nothing", "iwp,", "iwp:smell=2", "iwp:layer=two", "full:layer=2", "iwp:layer"]
)
def test_wrong_methods_are_told_in_one_sentence(demo: VLM, words: str) -> None:
    with pytest.raises(InputError) as told:
        entries(demo, words, [0.111])
    assert "\n" not in str(told.value)


def test_a_method_that_fails_is_listed(demo: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, view: Any) -> None:
        raise IWPError("FastV does not like this model.")

    monkeypatch.setattr(FastV, "rank", refuse)
    plan = answering.Plan("demo", "fastv,iwp", (0.2, 0.1), "cut", 0, 1, ("color",), Path("-"))
    found, refused = answering.taking_part(demo, plan)
    assert [entry.method for entry in found] == ["iwp", "iwp"]
    assert refused == dict.fromkeys(
        ("fastv 20.0%", "fastv 10.0%"), "FastV does not like this model."
    )


# --- the command -------------------------------------------------------------------------


@pytest.mark.slow
def test_an_exam_writes_its_results_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = exam.sit

    def counted(*args: Any) -> Iterator[Record]:
        for record in real(*args):
            asked.extend(len(record.said) for _ in range(len(args) > 3))  # not what tries out
            yield record

    monkeypatch.setattr(exam, "sit", counted)
    words = [*WORDS, "--out", str(tmp_path)]
    assert command.main([*words, "--methods", "full,oracle"]) == 0
    assert asked == [3] * 4
    assert "| full | - |" in capsys.readouterr().out
    assert command.main([*words, "--methods", "full,oracle"]) == 0
    assert asked == [3] * 4
    assert command.main([*words, "--methods", "full,iwp,oracle", "--timed", "1"]) == 0
    assert asked == [3] * 4 + [2] * 4
    table = read(tmp_path / "cut.csv")
    assert [(row["method"], row["budget"]) for row in table] == [
        ("full", ""),
        *(("iwp", "0.222"), ("iwp", "0.111")),
        *(("oracle", "0.222"), ("oracle", "0.111")),
    ]
    assert all(row["questions"] == "4" and float(row["answer ms"]) > 0 for row in table)
    assert float(table[2]["kept"]) == pytest.approx(0.111, abs=0.002)
    assert float(table[2]["layer average"]) == pytest.approx(0.555, abs=0.002)
    text = (tmp_path / "cut.md").read_text(encoding="utf-8")
    assert text.startswith("`python -m iwp eval scenes --limit 4")
    assert (tmp_path / "cut.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="seed"):
        command.main([*words, "--seed", "1", "--methods", "full"])


@pytest.mark.slow
def test_two_processes_answer_as_one(tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        out = str(tmp_path / jobs)
        command.main([*WORDS, "--methods", "full,iwp", "--jobs", jobs, "--out", out])
    one, two = (read(tmp_path / jobs / "cut.csv") for jobs in ("1", "2"))
    assert one == two
    assert len(list((tmp_path / "2" / "ledger").glob("part-*.jsonl"))) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--kinds", "smell"],
        ["--budgets", "many"],
        ["--budgets", "0.1,1.5"],
        ["--limit", "3"],
        ["--jobs", "0"],
    ],
)
def test_wrong_words_are_told_in_one_sentence(words: list[str]) -> None:
    with pytest.raises(InputError) as told:
        command.main(words)
    assert "\n" not in str(told.value)


# --- figures -----------------------------------------------------------------------------


ENTRIES = (
    Entry("full", None),
    Entry("iwp 11.1%", IWP(budget=0.111), method="iwp", budget=0.111),
    Entry("fastv 11.1%", FastV(budget=0.111), method="fastv", budget=0.111),
)


def answered(rights: dict[str, list[tuple[bool, bool, bool]]]) -> list[Record]:
    """Questions by kind: whether full, IWP and FastV are right; IWP keeps half the evidence."""
    records: list[Record] = []
    for kind, lines in rights.items():
        for line in lines:
            number = len(records)
            said = {
                entry.name: Said("4" if right else "5", 0.1, 0.4, evidence)
                for entry, right, evidence in zip(ENTRIES, line, (1.0, 0.5, 0.9), strict=True)
            }
            records.append(Record(number, number, kind, number % 2 == 0, "4", 9, 2, said))
    return records


def test_rows_say_what_was_counted() -> None:
    records = answered(
        {
            "read": [(True, True, True), (True, False, True), (True, False, True)],
            "color": [(True, True, False), (False, True, False), (False, False, False)],
        }
    )
    unfinished = Record(99, 99, "read", True, "4", 9, 2, {"full": Said("4")})
    found = rows(
        Answers.of([*records, unfinished], ENTRIES), {"full": (0, 0.4), "iwp 11.1%": (0.1, 0.2)}
    )
    full, iwp, fastv = found
    assert [row["questions"] for row in found] == [6, 6, 6]
    assert [row["accuracy"] for row in found] == pytest.approx([4 / 6, 3 / 6, 3 / 6], abs=1e-4)
    assert iwp["relative"] == pytest.approx((1 / 3 + 2) / 2, abs=1e-4)
    assert (fastv["minus iwp"], "minus iwp" in iwp, "minus iwp" in full) == (0, False, False)
    assert (iwp["fine"], iwp["coarse"]) == pytest.approx((1 / 3, 2 / 3), abs=1e-4)
    assert (iwp["on photographs"], iwp["on procedural"]) == pytest.approx((2 / 3, 1 / 3), abs=1e-4)
    assert (iwp["choose ms"], iwp["answer ms"], iwp["answer, of full"]) == (100, 200, 0.5)
    assert iwp["evidence kept"] == 0.5
    assert iwp["low"] < iwp["accuracy"] < iwp["high"]


def test_a_clear_difference_is_marked_and_explained() -> None:
    records = answered(
        {
            "read": [(True, n % 10 == 0, True) for n in range(40)],
            "color": [(True, True, n > 1) for n in range(40)],
        }
    )
    answers = Answers.of(records, ENTRIES)
    text = report(rows(answers, {}))
    first = next(line for line in text.splitlines() if line.startswith("| fastv"))
    assert first.endswith("+ |")
    assert rivals(answers) == [2]
    first = next(line for line in explained(answers).splitlines() if "| read |" in line)
    cells = [cell.strip() for cell in first.strip("|").split("|")]
    assert cells[:5] == ["11.1%", "fastv", "read", "100.0", "10.0"]
    assert cells[5].startswith("90.0 (")
    assert cells[6:] == ["36", "0", "90.0", "50.0", "100.0"]
    assert "no other method" in explained(answers, "dart")
    assert np.isfinite(answers.right).all()


def test_every_budget_has_its_own_cut_where_they_differ() -> None:
    records = answered({"read": [(True, True, True)] * 4})
    one = rows(Answers.of(records, ENTRIES), {})
    changed = [{**row, "budget": 0.05, "cut before": "2"} for row in one if row["budget"]]
    text = report([*({**row, "cut before": "3"} for row in one if row["budget"]), *changed])
    assert "| **iwp** | 3 / 2 |" in text
    same = [{**row, "cut before": "3"} for row in changed]
    assert "| **iwp** | 3 |" in report(same)


@pytest.mark.filterwarnings("error")
def test_what_no_question_shows_is_a_dash() -> None:
    right = [(False, n % 2 == 0, True) for n in range(8)]
    records = [
        replace(one, said={name: replace(said, evidence=None) for name, said in one.said.items()})
        for one in answered({"count": right})
    ]
    answers = Answers.of(records, ENTRIES)
    found = rows(answers, {})
    assert [(row["relative"], row["evidence kept"]) for row in found] == [(None, None)] * 3
    assert report(found)
    line = explained(answers).splitlines()[-1]
    assert [cell.strip() for cell in line.strip("|").split("|")][8:] == ["-", "-", "-"]
