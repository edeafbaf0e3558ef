"""Stop, a closed tab, errors and events that come too late: what ends, and what goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest

from iwp.errors import IWPError
from iwp.events import Stage
from iwp.ui import text
from iwp.ui.handlers import Handlers
from tests.browser.fake import FakeEngine
from tests.ui_events import TAB, begin, follow, release, wait_for


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(word_s=0.01)


def test_stop_ends_the_run_and_keeps_what_is_there(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    engine.word_s, engine.words = 0.02, 500
    begin(handlers, picture, "What?", 0.25)
    list(handlers.rank(TAB))
    states = handlers.answer(TAB)
    for state in states:
        if len(state[0]) > 20:
            break
    handlers.visitors.get("tab").halt()  # what Stop does, without waiting for this very thread
    *_, last = states
    assert last[0].startswith("7,371 tokens")
    assert "stopped by you" in last[2]
    assert text.STOPPED in last[3]
    assert handlers.last(TAB) == (*last, "")  # and no sweep


def test_an_old_event_leaves_the_next_comparison_alone(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    engine.words = 500
    begin(handlers, picture, "First?", 0.25)
    list(handlers.rank(TAB))
    old = handlers.answer(TAB)
    next(old)
    engine.words = 6
    begin(handlers, picture, "Second?", 0.5)
    list(handlers.rank(TAB))  # while the event of the first question has not ended yet
    old.close()
    assert handlers.visitors.get("tab").run is not None
    *_, last = handlers.answer(TAB)
    assert text.DONE in last[3]
    assert "Second?" in last[1]


def test_a_budget_can_be_answered_after_a_stop_whose_event_still_waited(
    handlers: Handlers, engine: FakeEngine, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iwp.ui.handlers._HALT_PATIENCE_S", 0.01)
    begin(handlers, picture, "What?", 0.25)
    list(handlers.rank(TAB))
    handlers.halt(TAB)  # `answer` is cancelled while it waits in the queue: it never runs
    assert text.STOPPED in handlers.last(TAB)[3]
    release(handlers, 0.25, 1)
    assert list(handlers.repruned(TAB))
    assert engine.runs[-1] == ("repruned", 0.25)


def test_the_budget_before_is_answered_again_after_a_stop(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    engine.words = 500
    release(handlers, 0.5, 1)
    running = handlers.repruned(TAB)
    next(running)
    handlers.visitors.get("tab").halt()
    list(running)
    engine.words = 6
    release(handlers, 0.25, 2)  # its answer is on the page no more
    *_, last = handlers.repruned(TAB)
    assert text.DONE in last[3]
    release(handlers, 0.25, 3)
    assert list(handlers.repruned(TAB)) == []  # now it is
    assert engine.runs[1:] == [("repruned", 0.5), ("repruned", 0.25)]


def test_stop_before_the_turn_comes_runs_nothing(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    handlers.halt(TAB)
    assert text.STOPPED in handlers.last(TAB)[3]
    states = follow(handlers)
    assert text.STOPPED in states[-1][4]
    assert engine.runs == []


@pytest.mark.parametrize("event", ["rank", "answer"])
def test_a_closed_tab_stops_its_run(
    handlers: Handlers, engine: FakeEngine, picture: str, event: str
) -> None:
    engine.words = 500
    begin(handlers, picture, "What?", 0.25)
    if event == "answer":
        list(handlers.rank(TAB))
    states = getattr(handlers, event)(TAB)
    next(states)
    states.close()
    wait_for(lambda: not engine.busy)


def test_a_forgotten_visitor_stops_too(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    engine.words = 500
    begin(handlers, picture, "What?", 0.25)
    list(handlers.rank(TAB))  # the run goes on between the two events
    assert engine.busy
    handlers.forget(TAB)
    wait_for(lambda: not engine.busy)
    assert len(handlers.visitors) == 0


def before_the_error(states: Iterator[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The last state that comes before an error about memory."""
    shown: list[tuple[Any, ...]] = []
    with pytest.raises(gr.Error, match="Out of memory"):
        deque(map(shown.append, states), maxlen=0)
    return shown[-1]


@pytest.mark.parametrize("side", ["baseline", "pruned"])
def test_after_an_error_nothing_moves_and_the_same_budget_can_be_answered(
    handlers: Handlers,
    engine: FakeEngine,
    picture: str,
    side: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = engine._side

    def broken(brake: Any, name: Any, *given: Any) -> Any:
        if name == side:
            raise IWPError("Out of memory.")
        return whole(brake, name, *given)

    monkeypatch.setattr(engine, "_side", broken)
    begin(handlers, picture, "What?", 0.25)
    list(handlers.rank(TAB))
    assert text.STOPPED in before_the_error(handlers.answer(TAB))[3]
    assert not handlers.visitors.get("tab").waiting
    monkeypatch.setattr(engine, "_side", whole)
    release(handlers, 0.25, 1)
    *_, last = handlers.repruned(TAB)
    assert last[1]
    assert engine.runs[-1] == ("repruned", 0.25)


def test_an_error_before_the_ranking_leaves_nothing_moving(
    handlers: Handlers, engine: FakeEngine, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        yield Stage("encoding")
        raise IWPError("Out of memory.")

    monkeypatch.setattr(engine, "_compare", broken)
    begin(handlers, picture, "What?", 0.25)
    assert text.STOPPED in before_the_error(handlers.rank(TAB))[4]
    assert not handlers.visitors.get("tab").waiting
