"""What is shared by several answers runs once: layers and encodings are counted, not timed."""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from iwp import adapters
from iwp.__main__ import main
from iwp.bench import prompts, sharing
from iwp.engine import Engine
from iwp.pruners import IWP
from iwp.settings import Settings
from iwp.sweep import BUDGETS
from iwp.types import Media
from tests import tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iwp.adapters.base import VLM

LAYERS, LAYER = 8, 4
METHODS = [None, IWP(0.5, layer=LAYER), IWP(0.1, layer=LAYER)]


@pytest.fixture(scope="module")
def demo() -> VLM:
    return adapters.load("demo", device="cpu")


@contextmanager
def counted(vlm: VLM) -> Iterator[Counter[Any]]:
    """How often each decoder layer read more than one row, and how often the tower ran."""
    found: Counter[Any] = Counter()

    def note(name: Any, rows: int) -> None:
        found[name] += rows > 1

    with ExitStack() as stack:
        for number, layer in enumerate(vlm.adapter.decoder_layers):
            handle = layer.register_forward_hook(
                lambda _, args, __, number=number: note(number, args[0].shape[1])
            )
            stack.callback(handle.remove)
        tower = vlm.model.model.vision_tower
        handle = tower.register_forward_hook(lambda *_: note("tower", 2))
        stack.callback(handle.remove)
        yield found


def test_apart_everything_runs_for_every_answer(demo: VLM) -> None:
    asked = prompts.picture(demo, 196, 196, "What is it?", looks=False)
    with counted(demo) as found:
        assert sharing.apart(demo, asked, METHODS) > 0
    assert found == {"tower": 3, **dict.fromkeys(range(LAYERS), 3)}


def test_together_the_tower_and_the_first_layers_run_once(demo: VLM) -> None:
    asked = prompts.picture(demo, 196, 196, "What is it?", looks=False)
    with counted(demo) as found:
        assert sharing.together(demo, asked, METHODS, LAYER) > 0
    first, later = dict.fromkeys(range(LAYER), 1), dict.fromkeys(range(LAYER, LAYERS), 3)
    assert found == {"tower": 1, **first, **later}


def test_a_sweep_shares_and_a_comparison_encodes_once(demo: VLM) -> None:
    engine = Engine(demo, Settings(max_new_tokens=2))
    media, method = Media((tiny.picture(),)), IWP(0.5, layer=LAYER)
    with counted(demo) as found:
        engine.compare(media, "What is it?", 0.5, method=method).result()
    # Ranked up to the cut; then both sides as a user of the method would read them.
    assert found == {
        "tower": 1,
        **dict.fromkeys(range(LAYER), 3),
        **dict.fromkeys(range(LAYER, LAYERS), 2),
    }
    session = engine.rank(media, "What is it?", method=method).session
    with counted(demo) as found:
        list(engine.sweep(session))
    answers = len(BUDGETS)
    first, later = dict.fromkeys(range(LAYER), 1), dict.fromkeys(range(LAYER, LAYERS), answers)
    assert found == {**first, **later}


def test_every_second_turn_is_in_the_opposite_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def noted(name: str, seconds: float) -> Any:
        return lambda *_: seen.append(name) or seconds

    monkeypatch.setattr(sharing, "apart", noted("apart", 0.3))
    monkeypatch.setattr(sharing, "together", noted("together", 0.1))
    words = ["--random", "demo", "--layers", "4", "--repeats", "3", "--side", "100"]
    assert main(["bench", "sharing", *words, "--out", str(tmp_path)]) == 0
    pair = ["together", "apart"]
    assert seen == [*pair, *reversed(pair)] * 2
    with (tmp_path / "sharing.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["together, x"] == "3.00"


def test_the_command_writes_its_table(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    place = "sharing-demo-4-layers"
    page.write_text(f"<!-- {place}: written by `nobody` -->\n<!-- {place}: end -->\n")
    words = ["--random", "demo", "--layers", "4", "--repeats", "1", "--side", "100"]
    words += ["--budgets", "0.5,0.1", "--out", str(tmp_path), "--write", str(page)]
    assert main(["bench", "sharing", *words]) == 0
    with (tmp_path / "sharing.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["answers"], row["encodings, apart"], row["encodings, together"]) == ("3", "3", "1")
    assert (row["layers read, apart"], row["layers read, together"]) == ("12", "8")
    assert float(row["together, x"]) > 0
    assert "every token and 50 %, 10 % by iwp, cut before layer 2 of 4" in page.read_text()
