"""What the page shows of an example without asking a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from iwp.recordings import FILE, read, write
from iwp.settings import Settings
from iwp.sweep import BUDGETS
from iwp.ui import build_demo, text
from iwp.ui.examples import EXAMPLES, Examples
from iwp.ui.handlers import Handlers
from iwp.ui.recorded import Recorded
from iwp.ui.sharing import Sharing
from iwp.ui.shelf import Shelf
from iwp.ui.sweeps import Sweeps
from tests.browser.fake import FakeEngine
from tests.ui_events import TAB, begin, follow, release

EMBEDDED = Examples(EXAMPLES)


@pytest.fixture
def engine() -> FakeEngine:
    fake = FakeEngine(word_s=0.005)
    fake.vlm.name = "demo"
    return fake


@pytest.fixture
def shelf(engine: FakeEngine) -> Shelf:
    return Shelf(engine, EMBEDDED)


@pytest.fixture
def recorded(handlers: Handlers, engine: FakeEngine, shelf: Shelf) -> Recorded:
    return Recorded(handlers, engine, shelf)


def show(
    recorded: Recorded,
    handlers: Handlers,
    number: int = 1,
    budget: float = 0.222,
    event: str = "show",
    left: str = "every",
    **settings: Any,
) -> tuple[Any, ...]:
    file, question = EMBEDDED.asked[number - 1]
    fields = {**handlers.usual, **settings}.values()
    form = (None, str(file), question, budget, left, "iwp", "cut")
    shown: tuple[Any, ...] = getattr(recorded, event)(*form, TAB, *fields)
    return shown


def nothing(shown: tuple[Any, ...]) -> bool:
    return all(one == gr.skip() for one in shown)


def test_a_fresh_page_shows_the_first_example(
    recorded: Recorded, handlers: Handlers, shelf: Shelf
) -> None:
    made = EMBEDDED.recordings
    assert made is not None
    token_map, left, right, table, status, kept, swept = show(
        recorded, handlers, shelf.opening() or 0, 0, "first"
    )
    result = made.entries[0].at(0.222)
    assert result is not None
    assert (token_map.n, token_map.budget, token_map.snap) == (result.n_visual, 0.222, True)
    assert Path(token_map.picture.path).is_file()
    assert (left["value"], left["label"]) == (result.baseline.answer, "Every visual token")
    assert (right["value"], right["label"]) == (result.pruned.answer, "Kept by IWP")
    assert "Recorded, not run just now" in table
    assert made.made.machine in table
    assert "Prefill" in table
    assert text.RECORDED_STATUS in status
    assert (kept, swept) == (None, "")


def test_the_first_example_is_part_of_the_page(engine: FakeEngine) -> None:
    """No event fills it in, which might come after a quick visitor's own picture."""
    page = build_demo(engine, Settings(), EXAMPLES)
    parts = {getattr(block, "elem_id", None): block for block in page.blocks.values()}
    assert Path(parts["picture"].value["path"]).name == EMBEDDED.asked[0][0].name
    assert parts["question"].value == EMBEDDED.asked[0][1]
    assert parts["video"].value is None
    assert parts["media"].selected == "picture"
    assert parts["picture"].value["path"] in parts["picture"].keep_in_cache


def test_a_page_may_open_with_a_clip(engine: FakeEngine, tmp_path: Path) -> None:
    file, asked = EMBEDDED.asked[-1]
    entry = {"image": str(EMBEDDED.rows[-1][0]), "video": str(file), "question": asked}
    (tmp_path / "examples.json").write_text(json.dumps([entry]))
    (tmp_path / FILE).symlink_to(EXAMPLES / FILE)
    page = build_demo(engine, Settings(), tmp_path)
    parts = {getattr(block, "elem_id", None): block for block in page.blocks.values()}
    assert Path(parts["video"].value["path"]).name == file.name
    assert parts["picture"].value is None
    assert parts["media"].selected == "video"


@pytest.mark.parametrize(
    ("query", "told"),
    [({"utm": "1"}, False), ({"b": "22.2"}, False), ({"b": "500"}, True), ({"left": "x"}, True)],
)
def test_what_a_link_says_wrongly_stays_told(
    recorded: Recorded, handlers: Handlers, query: dict[str, str], told: bool
) -> None:
    request = SimpleNamespace(session_hash="tab", query_params=query)
    file, question = EMBEDDED.asked[0]
    form = (None, str(file), question, 0.222, "every", "iwp", "cut")
    shown = recorded.first(*form, request, *handlers.usual.values())  # type: ignore[arg-type]
    assert (shown[4] == gr.skip()) is told
    assert shown[0] != gr.skip()


def test_who_was_quicker_is_not_overtaken(
    recorded: Recorded, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare was pressed while the recording was being read."""
    read_it, file = recorded._asked, EMBEDDED.asked[1][0]

    def slowly(*given: Any) -> Any:
        begin(handlers, str(file), "Mine?", 0.5)
        return read_it(*given)

    monkeypatch.setattr(recorded, "_asked", slowly)
    assert nothing(show(recorded, handlers, event="first"))
    asked = handlers.visitors.get(TAB.session_hash).asked
    assert asked is not None
    assert asked.question == "Mine?"


def test_a_links_budget_stays(recorded: Recorded, handlers: Handlers) -> None:
    assert nothing(show(recorded, handlers, budget=0.4, event="first"))
    assert show(recorded, handlers, budget=0.111, event="first")[0].budget == 0.111


def test_an_example_snaps_to_the_next_recorded_budget(
    recorded: Recorded, handlers: Handlers
) -> None:
    assert show(recorded, handlers, budget=0.4)[0].budget == 0.353


def test_released_presets_are_answered_from_the_file(
    recorded: Recorded, handlers: Handlers, engine: FakeEngine
) -> None:
    show(recorded, handlers, 4)
    release(handlers, 0.05, 1)
    (answers,) = handlers.repruned(TAB)
    assert EMBEDDED.recordings is not None
    result = EMBEDDED.recordings.entries[3].at(0.05)
    assert result is not None
    assert answers[:2] == (result.baseline.answer, result.pruned.answer)
    assert list(handlers.repruned(TAB)) == []  # a second event finds it answered
    assert engine.runs == []


def test_another_budget_is_really_answered(
    recorded: Recorded, handlers: Handlers, engine: FakeEngine
) -> None:
    show(recorded, handlers)
    release(handlers, 0.4, 1)
    *_, (left, right, table, status, _) = handlers.repruned(TAB)
    assert "tokens looked at" in left
    assert "tokens looked at" in right
    assert "Recorded" not in table
    assert text.DONE in status
    release(handlers, 0.111, 2)  # from now on the page is like any other
    list(handlers.repruned(TAB))
    assert engine.runs == [("compare", 0.4), ("repruned", 0.111)]


def test_its_map_is_drawn_anew(recorded: Recorded, handlers: Handlers, engine: FakeEngine) -> None:
    """What is lit is what the answers beside it were given with: this device may rank otherwise."""
    old, *_ = show(recorded, handlers)
    assert recorded.redrawn(TAB) == gr.skip()
    release(handlers, 0.111, 1)
    list(handlers.repruned(TAB))
    assert recorded.redrawn(TAB) == gr.skip()  # answered from the file
    release(handlers, 0.4, 2)
    list(handlers.repruned(TAB))
    new = recorded.redrawn(TAB)
    visitor = handlers.visitors.get(TAB.session_hash)
    assert visitor.session is not None
    assert new.n == visitor.session.layout.n != old.n
    assert new.id != old.id
    assert visitor.page.token_map is new
    assert recorded.redrawn(TAB) == gr.skip()


def test_compare_replaces_it(recorded: Recorded, handlers: Handlers, engine: FakeEngine) -> None:
    show(recorded, handlers)
    file, question = EMBEDDED.asked[0]
    shown = begin(handlers, str(file), question, 0.222)
    assert shown[1]["value"] == ""
    assert "Recorded" not in follow(handlers)[-1][3]
    assert engine.runs == [("compare", 0.222)]


def test_what_is_going_on_is_not_replaced(recorded: Recorded, handlers: Handlers) -> None:
    file, question = EMBEDDED.asked[0]
    begin(handlers, str(file), question, 0.222)
    assert nothing(show(recorded, handlers))
    assert nothing(show(recorded, handlers, event="first"))


@pytest.mark.parametrize(
    "changed", [{"left": "fastv"}, {"temperature": 0.5}, {"penalty": -1}, {"layer": 3}]
)
def test_other_sides_and_settings_were_not_recorded(
    recorded: Recorded, handlers: Handlers, changed: dict[str, Any]
) -> None:
    assert nothing(show(recorded, handlers, **changed))


def test_another_model_has_no_recordings(
    recorded: Recorded, handlers: Handlers, engine: FakeEngine, shelf: Shelf
) -> None:
    engine.source = "/home/somebody/demo"
    assert shelf.opening() is None
    assert nothing(show(recorded, handlers))


def test_a_changed_model_has_none(handlers: Handlers, engine: FakeEngine, tmp_path: Path) -> None:
    made = read(EXAMPLES / FILE)
    assert made is not None
    write(replace(made, digest="0" * 64), tmp_path / FILE)
    rows = [{"image": str(file), "question": asked} for file, asked in EMBEDDED.asked]
    (tmp_path / "examples.json").write_text(json.dumps(rows))
    stale = Shelf(engine, Examples(tmp_path))
    assert stale.opening() is None
    assert nothing(show(Recorded(handlers, engine, stale), handlers))


def test_a_report_says_that_it_is_recorded(
    recorded: Recorded, handlers: Handlers, tmp_path: Path
) -> None:
    show(recorded, handlers, 2)
    shared = Sharing(lambda: handlers.usual, handlers.visitors, EMBEDDED, str(tmp_path)).share(TAB)
    assert shared is not None
    assert shared.query.startswith("example=2")
    assert EMBEDDED.recordings is not None
    report = json.loads(shared.report or "")
    assert report["recorded"]["machine"] == EMBEDDED.recordings.made.machine


def test_a_sweep_is_recorded_too(
    recorded: Recorded, handlers: Handlers, engine: FakeEngine
) -> None:
    show(recorded, handlers)
    sweeps = Sweeps(engine, handlers.visitors)  # type: ignore[arg-type]
    sweeps.ask(False, TAB)
    ((html, status),) = sweeps.sweep(TAB)
    assert html.count("<tr>") == 1 + len(BUDGETS)
    assert "Recorded, not run just now" in html
    assert text.SWEPT_ALL in status
    assert engine.runs == []
    assert show(recorded, handlers, 2)[-1] == ""  # another example clears it
