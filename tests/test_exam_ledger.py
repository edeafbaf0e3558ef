"""The ledger: stopped exams go on, other exams are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from iwp.errors import InputError
from iwp.exam.ledger import Ledger, forget, weights_of
from iwp.scenes.exam import Record, Said

STAMP = {"weights": "abc", "seed": 0, "kinds": ["read", "color"]}
RECIPES = {"full": "None", "iwp 11.1%": "IWP()"}
RECORD = Record(3, 8, "read", True, "4", 700, 9, {"full": Said("4", evidence=1.0)})


def write(folder: Path, part: int, *records: Record, recipes: dict[str, str] = RECIPES) -> None:
    writer = Ledger(folder, STAMP, recipes).writer(part)
    for record in records:
        writer.add(record)
    writer.close()


def test_an_answer_comes_back_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "new", 0, RECORD)
    read = Ledger(tmp_path / "new", STAMP, RECIPES)
    assert read.records == {3: RECORD}
    assert {number: set(names) for number, names in read.done.items()} == {3: {"full"}}


def test_answers_of_all_parts_and_of_later_settings_are_joined(tmp_path: Path) -> None:
    later = replace(RECORD, said={"iwp 11.1%": Said("7", 0.111, 0.55, 0.5)})
    other = replace(RECORD, question=4)
    write(tmp_path, 0, RECORD)
    write(tmp_path, 1, later, other)
    records = Ledger(tmp_path, STAMP, RECIPES).records
    assert records[3].said == {**RECORD.said, **later.said}
    assert records[4] == other


def test_a_line_that_was_cut_off_is_asked_again(tmp_path: Path) -> None:
    write(tmp_path, 0, RECORD, replace(RECORD, question=4))
    path = tmp_path / "part-0.jsonl"
    path.write_text(path.read_text()[:-30])
    assert set(Ledger(tmp_path, STAMP, RECIPES).records) == {3}
    write(tmp_path, 0, replace(RECORD, question=5))
    assert set(Ledger(tmp_path, STAMP, RECIPES).records) == {3, 5}


@pytest.mark.parametrize("changed", [{"weights": "abd"}, {"seed": 1}, {"kinds": ["read"]}])
def test_answers_of_another_exam_are_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    write(tmp_path, 0, RECORD)
    with pytest.raises(InputError, match=next(iter(changed))) as told:
        Ledger(tmp_path, {**STAMP, **changed}, RECIPES)
    assert "\n" not in str(told.value)


def test_another_method_of_the_same_name_is_refused_until_it_is_forgotten(tmp_path: Path) -> None:
    both = replace(RECORD, said={**RECORD.said, "iwp 11.1%": Said("7")})
    write(tmp_path, 0, both)
    changed = {**RECIPES, "iwp 11.1%": "IWP(layer=2)"}
    with pytest.raises(InputError, match="--again iwp"):
        Ledger(tmp_path, STAMP, changed)
    forget(tmp_path, ["iwp"])
    assert Ledger(tmp_path, STAMP, changed).records == {3: RECORD}
    assert not list(tmp_path.glob("*.new"))


def test_what_is_forgotten_has_no_times_either(tmp_path: Path) -> None:
    name = "pyramiddrop:later=[3, 5] 11.1% on average"
    write(tmp_path, 0, replace(RECORD, said={**RECORD.said, name: Said("7")}))
    (tmp_path / "times-average.json").write_text("{}")
    forget(tmp_path, ["pyramiddrop:later=[3, 5]"])
    assert Ledger(tmp_path, STAMP, {}).records == {3: RECORD}
    assert not list(tmp_path.glob("times-*"))


def test_settings_that_do_not_take_part_this_time_are_no_matter(tmp_path: Path) -> None:
    write(tmp_path, 0, RECORD, recipes={**RECIPES, "fastv 5.0%": "FastV()"})
    assert Ledger(tmp_path, STAMP, RECIPES).records == {3: RECORD}


def test_the_hash_of_weights_tells_models_apart() -> None:
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    assert weights_of(first) == weights_of(first)
    assert weights_of(first) != weights_of(second)
    second.load_state_dict(first.state_dict())
    assert weights_of(first) == weights_of(second)
    assert weights_of(first) != weights_of(second.to(torch.bfloat16))
