"""The task folder for lmms-eval that is made of the exam's questions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from iwp.__main__ import main
from iwp.errors import InputError
from iwp.evals.export import TASK, export
from iwp.scenes import exam


def test_the_questions_are_the_exam_s(tmp_path: Path) -> None:
    assert export(tmp_path / "task", limit=20, seed=3) == 20
    lines = (tmp_path / "task" / "questions" / "metadata.jsonl").read_text().splitlines()
    rows = iter([json.loads(line) for line in lines])
    for item in exam.items(3, 2):
        for question in item.questions:
            row = next(rows)
            told = (row["kind"], row["question"], row["answer"])
            assert told == (question.kind, question.text, question.answer)
            with Image.open(tmp_path / "task" / "questions" / row["file_name"]) as picture:
                assert np.array_equal(np.asarray(picture), item.scene.pixels)
    assert next(rows, None) is None


@pytest.mark.parametrize(("limit", "asked"), [(6, 10), (19, 10), (20, 20)])
def test_a_limit_is_rounded_to_as_many_of_each_kind(tmp_path: Path, limit: int, asked: int) -> None:
    assert export(tmp_path / "task", limit=limit, seed=0) == asked


def test_the_task_names_what_is_there(tmp_path: Path) -> None:
    export(tmp_path / "a task: new", limit=10, seed=0)
    task = yaml.safe_load((tmp_path / "a task: new" / f"{TASK}.yaml").read_text())
    assert task["task"] == TASK
    folder = Path(task["dataset_kwargs"]["data_dir"])
    assert folder.is_absolute()
    assert (folder / "metadata.jsonl").is_file()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        export(tmp_path, limit=10, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_command_line_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "export", str(tmp_path / "task"), "--limit", "10", "--seed", "1"]) == 0
    assert f"--tasks {TASK}" in capsys.readouterr().out
    assert main(["eval", "export", str(tmp_path / "task")]) == 2
    assert "not empty" in capsys.readouterr().err
