"""The gallery's folder, without a browser."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from iwp.__main__ import main
from iwp.gallery import palette, site
from iwp.sweep import BUDGETS
from iwp.ui.examples import EXAMPLES, Examples
from iwp.ui.theme import STYLES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gallery") / "made" / "here"
    site.write(Examples(EXAMPLES), out)
    return out


def test_every_example_and_budget_is_there(folder: Path) -> None:
    examples = Examples(EXAMPLES)
    for number, (_, question) in enumerate(examples.asked, 1):
        found = json.loads((folder / "data" / f"{number}.json").read_text("utf-8"))
        assert (found["number"], found["question"]) == (number, question)
        assert [one["budget"] for one in found["results"]] == list(BUDGETS)
        assert all("Prefill" in one["measured"] for one in found["results"])
        assert found["map"]["n"] > 0


def test_every_picture_is_there_and_small(folder: Path) -> None:
    for data in (folder / "data").iterdir():
        urls = site._urls(json.loads(data.read_text("utf-8"))["map"])
        assert urls
        for url in urls:
            assert (folder / url).stat().st_size < 200_000
    assert "/tmp" not in "".join(file.read_text("utf-8") for file in (folder / "data").iterdir())


def test_the_page_names_no_other_host(folder: Path) -> None:
    for file in [*folder.glob("*.html"), *folder.glob("*.css"), *folder.glob("*.js")]:
        text = file.read_text("utf-8")
        assert re.findall(r"(?:src|href)=\"(?:https?:)?/", text) == []
        assert re.findall(r"(?:url|import|fetch)\(\s*[\"']?(?:https?:)?//", text) == []


def test_the_folder_is_a_static_space(folder: Path) -> None:
    card = (folder / "README.md").read_text("utf-8")
    matter = yaml.safe_load(card.split("---\n")[1])
    assert (matter["sdk"], matter["app_file"]) == ("static", "index.html")
    assert (folder / matter["app_file"]).is_file()
    assert len(matter["short_description"]) <= 60
    assert "$" not in card
    assert "$" not in (folder / "index.html").read_text("utf-8")


def card_of(examples: Examples, out: Path) -> dict[str, Any]:
    site.write(examples, out)
    matter: dict[str, Any] = yaml.safe_load(
        (out / "README.md").read_text("utf-8").split("---\n")[1]
    )
    assert matter["pinned"] is False
    return matter


def test_the_licence_is_told_of_what_comes_with_iwp(
    folder: Path, own: Path, tmp_path: Path
) -> None:
    assert "\nlicense: apache-2.0\npinned: false\n" in (folder / "README.md").read_text("utf-8")
    assert "license" not in card_of(Examples(own), tmp_path / "pictures")
    examples = Examples(EXAMPLES)
    assert examples.recordings is not None
    other = replace(examples.recordings, model="other", digest="")
    examples.__dict__["recordings"] = other  # what the cached property would read
    assert "license" not in card_of(examples, tmp_path / "model")


def test_every_variable_of_the_sheets_has_a_value(folder: Path) -> None:
    style = (folder / "style.css").read_text("utf-8")
    used = set(re.findall(r"var\(--([\w-]+)\)", style))
    by_script = re.findall(r"\"--([\w-]+)\"", (folder / "overlay.js").read_text("utf-8"))
    assert used - {*re.findall(r"--([\w-]+):", style), *by_script} == set()


def test_colours_are_the_themes() -> None:
    rules = palette.variables("".join(sheet.read_text("utf-8") for sheet in STYLES))
    light, dark = rules.split("@media (prefers-color-scheme: dark)")
    assert "--body-text-color: var(--neutral-900);" in light
    assert "--neutral-900: #" in light
    assert "--body-text-color: var(--neutral-100);" in dark
    assert "--primary-600" not in dark  # the same in both


def test_the_command_tells_the_weight(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    whole, first = (float(size) for size in re.findall(r"([\d.]+) MB", said))
    assert 0 < first < 0.5 < whole < 4


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of the examples, the first of which is asked something else than was recorded."""
    copy = tmp_path / "own"
    shutil.copytree(EXAMPLES, copy)
    listing = json.loads((copy / "examples.json").read_text("utf-8"))
    listing[0]["question"] = "What else?"
    (copy / "examples.json").write_text(json.dumps(listing[:3]), "utf-8")
    return copy


def test_the_first_example_need_not_be_recorded(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gallery", str(tmp_path / "out"), "--examples", str(own)]) == 0
    assert "at first" in capsys.readouterr().out
    assert {file.name for file in (tmp_path / "out" / "data").iterdir()} == {"2.json", "3.json"}


def test_examples_that_are_gone_are_removed(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    site.write(Examples(EXAMPLES), out)
    mine = [out / "data" / "mine.json", out / "pictures" / "holiday.jpg", out / "4.json"]
    for file in mine:
        file.write_text("mine")
    written = site.write(Examples(own), out)
    assert {file for file in out.rglob("*") if file.is_file()} == {*written, *mine}


def test_a_folder_that_was_no_gallery_keeps_its_files(own: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "pictures").mkdir(parents=True)
    photo = tmp_path / "out" / "pictures" / "2024-01.jpg"
    photo.write_text("mine")
    site.write(Examples(own), tmp_path / "out")
    assert photo.read_text() == "mine"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "--record"),
        (["{}/out", "--examples", "{}"], "no examples.json"),
        (["{}/out", "--examples", "{}/bare"], "--record"),
        (["{}/file"], "cannot be written"),
        (["--record", "--turns", "0"], "--turns"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], sentence: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "examples.json").write_text('[{"image": "a.png", "question": "What?"}]')
    assert main(["gallery", *(word.format(tmp_path) for word in given)]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
