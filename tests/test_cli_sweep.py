"""`python -m iwp sweep`: its table, its JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iwp.__main__ import main
from tests import tiny


@pytest.fixture
def words(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A sweep that works."""
    monkeypatch.setenv("IWP_MAX_NEW_TOKENS", "3")
    picture = tmp_path / "picture.png"
    tiny.picture().save(picture)
    asked = ["--image", str(picture), "--question", "What is it?", "--model", str(tiny_folder)]
    return ["sweep", *asked, "--device", "cpu", "--layer", "2"]


def test_a_row_for_each_budget(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--budgets", "50%,0.2"]) == 0
    out = capsys.readouterr().out
    assert [line.split(" ")[0] for line in out.splitlines()[1:4]] == ["100.0", "50.0", "20.0"]
    assert "first 2 decoder layers were read once" in out


def test_json_is_one_object(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    budgets = [point["budget"] for point in found["points"]]
    assert budgets == [1.0, 0.5, 0.353, 0.222, 0.111, 0.05]
    assert found["shared_layers"] == 2
    assert {"answer", "agreement", "fidelity", "own_prefill_s"} <= set(found["points"][0])


@pytest.mark.parametrize(
    ("budgets", "sentence"),
    [
        ("auto", "not auto"),
        ("0.5,auto", "not auto"),
        ("0.5,7", "Keep between"),
        ("0.5,", "must look like"),
        ("a lot", "must look like"),
    ],
)
def test_other_budgets_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str], budgets: str, sentence: str
) -> None:
    assert main([*words, "--budgets", budgets]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1
