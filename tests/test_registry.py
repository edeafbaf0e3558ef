"""The table of methods: what stands in it, and where it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iwp import marked, registry
from iwp.__main__ import main
from iwp.errors import InputError
from iwp.pruners import IWP, PRUNERS, DivPrune, Pruner, PyramidDrop, VisionZip

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = marked.begin("methods", "python -m iwp methods --write README.md")
END = marked.end("methods")
PAGE = f"Before.\n{BEGIN}\nold\n{END}\nAfter.\n"


@pytest.mark.parametrize("kind", PRUNERS.values(), ids=PRUNERS)
def test_every_method_says_what_it_keeps_itself(kind: type[Pruner]) -> None:
    assert "keeps" in vars(kind)
    assert kind.keeps[0].islower()
    assert not kind.keeps.endswith(".")
    assert "|" not in kind.keeps + kind.budget_is
    assert kind.paper is None or len(kind.paper) == len("2604.00757")


def test_both_conventions_by_hand() -> None:
    found = {entry.method.name: entry for entry in registry.entries(layers=28, budget=0.222)}
    assert list(found) == list(PRUNERS)
    iwp = found["iwp"]  # before layer 4
    assert iwp.kept == pytest.approx(0.222)
    assert iwp.average == pytest.approx((4 + 24 * 0.222) / 28)
    assert iwp.kept_at_average == pytest.approx((28 * 0.222 - 4) / 24, abs=1e-6)
    assert found["divprune"].average == found["divprune"].kept_at_average == 0.222
    pyramid = found["pyramiddrop"]  # a quarter of the layers reads everything
    assert pyramid.kept == pytest.approx(0.222**3, abs=1e-5)
    assert pyramid.average == pytest.approx((1 + 0.222 + 0.222**2 + 0.222**3) / 4, abs=1e-5)
    assert pyramid.kept_at_average is None


def test_a_cut_behind_the_last_layer_leaves_everything() -> None:
    shallow = {entry.method.name: entry for entry in registry.entries(layers=4)}["iwp"]
    assert (shallow.kept, shallow.average) == (1.0, 1.0)


def test_stages_in_words() -> None:
    assert registry.stage(IWP(layer=3)) == "before layer 3"
    assert registry.stage(DivPrune()) == "projector output"
    assert registry.stage(VisionZip()) == "vision tower output"
    assert registry.stage(VisionZip(layer=5)) == "before layer 5"
    assert registry.stage(PyramidDrop(layer=7, later=(14, 21))) == "before layers 7, 14 and 21"
    assert registry.fate(VisionZip()) == "merged"
    assert registry.fate(DivPrune()) == "dropped"


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(PRUNERS) + 1]] == list(PRUNERS)
    assert next(line for line in lines if line.startswith("iwp ")).split("layer 4")[1].split() == [
        *("dropped", "22.2", "%", "33.3", "%", "9.2", "%"),
        *IWP.budget_is.split(),
    ]
    assert main(["methods", "--markdown", "--layers", "32"]) == 0
    assert "| `iwp` | `IWP` |" in capsys.readouterr().out


def test_the_command_renews_a_file(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    for _ in range(2):  # the second time changes nothing
        assert main(["methods", "--write", str(page)]) == 0
        assert page.read_text() == PAGE.replace("old", registry.markdown())


@pytest.mark.parametrize("words", [["--write", "/no/such/page.md"], ["--layers", "0"]])
def test_what_cannot_be_done_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_a_place_is_known_by_its_name_and_says_what_renewed_it() -> None:
    page = "<!-- one: written by `old words` -->\nx\n<!-- one: end -->\n" + PAGE
    once = marked.written(page, "one", "new words", "y")
    assert once == "<!-- one: written by `new words` -->\ny\n<!-- one: end -->\n" + PAGE
    assert registry.written(once, "table") == once.replace("old", "table")


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}\n{BEGIN}"])
def test_a_page_without_a_place_is_refused(page: str) -> None:
    with pytest.raises(InputError, match="has to hold the lines"):
        registry.written(page, "table")
