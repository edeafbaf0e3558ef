"""The page's sweep, without a page: what its events show, stop and leave alone."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import gradio as gr
import pytest
from PIL import Image

from iwp.errors import IWPError
from iwp.events import Swept
from iwp.results import Fidelity, Sweep
from iwp.sweep import BUDGETS
from iwp.types import Answer, Media, Timing
from iwp.ui import sweep_view, text
from iwp.ui.forked import ForkedEngine
from iwp.ui.handlers import Handlers
from iwp.ui.sweep_plot import plot, series
from iwp.ui.sweeps import Sweeps
from tests.browser.fake import FakeEngine
from tests.browser.sweeps import nothing_swept, swept
from tests.ui_events import TAB, begin, follow, release, wait_for


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(word_s=0.005)


@pytest.fixture
def sweeps(engine: FakeEngine, handlers: Handlers) -> Sweeps:
    return Sweeps(engine, handlers.visitors)  # type: ignore[arg-type]


def pressed(sweeps: Sweeps) -> list[tuple[str, str]]:
    sweeps.ask(False, TAB)
    return list(sweeps.sweep(TAB))  # type: ignore[arg-type]


def found(points: int = 6) -> Sweep:
    made = nothing_swept(1000)
    for number, budget in enumerate(BUDGETS[:points]):
        timing = Timing(0.2, 0.01, 0.1, 0.4 - 0.03 * number, 0.01, 0.5)
        made = swept(made, budget, Answer(f"answer <{number}>", 2, 10, timing, 1, None, "eos"))
    return made


def test_every_budget_is_told_as_it_comes(handlers: Handlers, sweeps: Sweeps, picture: str) -> None:
    begin(handlers, picture, "What?", 0.25)
    before = follow(handlers)[-1]
    states = pressed(sweeps)
    rows = [state[0].count("<tr>") for state in states]
    assert rows == sorted(rows)
    assert rows[-1] == 1 + len(BUDGETS)
    assert text.SWEPT.format(3, 6) in str(states)
    assert text.SWEPT_ALL in states[-1][1]
    assert handlers.visitors.get("tab").page.answers()[:3] == before[1:4]
    assert not handlers.visitors.get("tab").waiting


def test_a_sweep_needs_a_comparison(
    handlers: Handlers, sweeps: Sweeps, engine: FakeEngine, picture: str
) -> None:
    with pytest.raises(gr.Error, match=text.SWEEP_LATER):
        pressed(sweeps)
    begin(handlers, picture, "What?", 0.25)
    list(handlers.rank(TAB))  # still going on
    with pytest.raises(gr.Error, match=text.SWEEP_LATER):
        pressed(sweeps)
    assert text.DONE in list(handlers.answer(TAB))[-1][3]
    assert engine.runs == [("compare", 0.25)]


def test_answers_to_another_question_are_not_swept(
    handlers: Handlers, sweeps: Sweeps, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    with pytest.raises(gr.Error, match="has changed"):
        sweeps.ask(True, TAB)
    assert engine.runs == [("compare", 0.25)]


def test_whatever_was_quicker_is_left_alone(
    handlers: Handlers, sweeps: Sweeps, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    sweeps.ask(False, TAB)
    begin(handlers, picture, "What else?", 0.25)
    assert list(sweeps.sweep(TAB)) == []


def test_stop_keeps_the_budgets_that_are_there(
    handlers: Handlers, sweeps: Sweeps, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    sweeps.ask(False, TAB)
    states = sweeps.sweep(TAB)
    for html, _ in states:
        if html.count("<tr>") == 3:
            break
    handlers.visitors.get("tab").halt()
    *_, (html, status) = states
    assert html.count("<tr>") in (3, 4)
    assert text.STOPPED in status
    assert handlers.last(TAB)[-1] == html
    wait_for(lambda: not engine.busy)
    release(handlers, 0.5, 1)  # and the page goes on
    assert text.DONE in list(handlers.repruned(TAB))[-1][3]


def test_stop_before_the_turn_comes_sweeps_nothing(
    handlers: Handlers, sweeps: Sweeps, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    sweeps.ask(False, TAB)
    handlers.halt(TAB)
    assert list(sweeps.sweep(TAB)) == []
    assert engine.runs == [("compare", 0.25)]
    assert len(pressed(sweeps)) > 6  # pressed again it runs


def test_a_new_question_ends_the_sweep_and_clears_it(
    handlers: Handlers, sweeps: Sweeps, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "First?", 0.25)
    follow(handlers)
    sweeps.ask(False, TAB)
    states = sweeps.sweep(TAB)
    for html, _ in states:
        if html:
            break
    assert begin(handlers, picture, "Second?", 0.5)[-1] == ""
    assert list(states) == []
    assert "Second?" in follow(handlers)[-1][1]
    assert handlers.visitors.get("tab").page.sweep == ""


def test_a_closed_tab_stops_its_sweep(
    handlers: Handlers, sweeps: Sweeps, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    engine.words = 500
    sweeps.ask(False, TAB)
    states = sweeps.sweep(TAB)
    next(states)
    states.close()
    wait_for(lambda: not engine.busy)


def test_an_error_is_one_sentence_and_leaves_nothing_moving(
    handlers: Handlers,
    sweeps: Sweeps,
    engine: FakeEngine,
    picture: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)

    def broken(*_: Any) -> Any:
        yield Swept(found(2), None)
        raise IWPError("Out of memory.")

    monkeypatch.setattr(engine, "_sweep", broken)
    with pytest.raises(gr.Error, match="Out of memory"):
        pressed(sweeps)
    visitor = handlers.visitors.get("tab")
    assert not visitor.waiting
    assert visitor.page.sweep.count("<tr>") == 3
    assert visitor.page.status == text.STOPPED


def test_it_runs_where_a_gpu_is_lent(engine: FakeEngine) -> None:
    forked = ForkedEngine(engine, lambda work: work)  # type: ignore[arg-type]
    session = forked.compare(Media((Image.new("RGB", (90, 60)),)), "What?", 0.5).updates()
    *_, done = session
    *_, end = forked.sweep(done.session).updates()  # type: ignore[union-attr]
    assert isinstance(end, Swept)
    assert len(end.sweep.points) == len(BUDGETS)


# --- how it looks --------------------------------------------------------------------------


def test_the_drawing_is_well_formed_and_says_its_numbers() -> None:
    html = plot(found())
    drawing = ElementTree.fromstring(html[: html.index("<ul")])
    assert drawing.get("role") == "img"
    told = drawing.get("aria-label") or ""
    assert "Budget 100 % to 5 %" in told
    assert f"{text.PLOT_WEIGHT} 100 % to 22 %" in told
    assert f"{text.PLOT_TIME} 100 % to 62 %" in told
    marks = {group.get("class"): len(group) - 1 for group in drawing.iter("g")}
    assert marks == {"words": 6, "weight": 6, "time": 6}
    numbers = [float(x) for x in re.findall(r"[ML]([\d.]+) ", html.split("<g")[1].split("/>")[0])]
    assert numbers == sorted(numbers, reverse=True)  # from 100 % on the right


def test_every_line_has_marks_of_its_own() -> None:
    shapes = re.findall(r'class="mark" d="[^a-z]*([a-z])[^a-z]*([a-z])', plot(found(1)))
    assert len(set(shapes)) == 3


def test_what_was_not_measured_is_not_drawn() -> None:
    made = found()
    blind = Fidelity(None, None, None, None)
    points = tuple(replace(point, fidelity=blind) for point in made.points)
    kinds = [line.kind for line in series(replace(made, points=points))]
    assert kinds == ["words", "time"]


def test_slower_than_everything_stays_in_the_drawing() -> None:
    made = found(1)
    slow = Answer("a", 2, 10, Timing(0.2, 0.01, 0.1, 0.9, 0.01, 1.0), 1, None, "eos")
    html = plot(swept(made, 0.5, slow))
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", html)]
    assert min(heights) >= 0


def test_answers_are_escaped() -> None:
    html = sweep_view.render(found())
    assert "answer &lt;3&gt;" in html
    assert "answer <3>" not in html
    assert "first 2 decoder layers were read once" in html
    assert sweep_view.render(nothing_swept(9)) == ""
