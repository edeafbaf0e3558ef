"""Run: events, lock, stop and deadline, with work that needs no model."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from iwp.errors import DeadlineError, InputError, IWPError
from iwp.events import Event, Stage, Text
from iwp.run import Brake, Halted, Run

if TYPE_CHECKING:
    from collections.abc import Iterator


def _words(count: int, pause: float = 0.0) -> Iterator[Event]:
    for i in range(count):
        time.sleep(pause)
        yield Text("baseline", "x" * (i + 1))
    yield Stage("pruned")
    yield Text("pruned", "end")


def _until_pressed(brake: Brake) -> Iterator[Event]:
    yield Stage("encoding")
    while True:
        brake.check()
        time.sleep(0.001)


def test_iteration_gives_every_event_in_order() -> None:
    run = Run(lambda _: _words(5), threading.Lock(), 10)
    assert list(run) == list(_words(5))


def test_updates_skip_texts_but_never_the_last_of_a_side() -> None:
    run = Run(lambda _: _words(100, pause=0.002), threading.Lock(), 10)
    events = list(run.updates(hz=20))
    assert events[-3:] == [Text("baseline", "x" * 100), Stage("pruned"), Text("pruned", "end")]
    assert 3 < len(events) < 30


def test_updates_do_not_starve_while_the_worker_is_fast() -> None:
    run = Run(lambda brake: _busy(brake), threading.Lock(), 10)
    shown = []
    for event in run.updates(hz=50):
        shown.append(event)
        if len(shown) == 5:
            break
    assert len(shown) == 5
    run.stop()


def _busy(brake: Brake) -> Iterator[Event]:
    while True:
        brake.check()
        yield Text("baseline", "again")


def test_closing_the_updates_stops_the_run() -> None:
    run = Run(_until_pressed, threading.Lock(), 10)
    updates = run.updates()
    assert next(updates) == Stage("encoding")
    updates.close()
    assert run.join(2)


def test_an_error_is_raised_where_the_events_are_read() -> None:
    def fail(_: Brake) -> Iterator[Event]:
        yield Stage("encoding")
        raise InputError("No.")

    lock = threading.Lock()
    run = Run(fail, lock, 10)
    events = iter(run)
    next(events)
    with pytest.raises(InputError, match="No"):
        next(events)
    assert not lock.locked()


def test_the_last_text_comes_before_the_error() -> None:
    def fail(_: Brake) -> Iterator[Event]:
        yield Text("baseline", "one")
        time.sleep(0.1)
        yield from (Text("baseline", "one two"), Text("baseline", "one two three"))
        raise InputError("No.")

    updates = Run(fail, threading.Lock(), 10).updates(hz=2)
    assert next(updates) == Text("baseline", "one")
    assert next(updates) == Text("baseline", "one two three")
    with pytest.raises(InputError, match="No"):
        next(updates)


def test_a_stopped_run_keeps_the_device_until_it_has_really_stopped() -> None:
    lock, finish = threading.Lock(), threading.Event()

    def stubborn(brake: Brake) -> Iterator[Event]:
        yield Stage("encoding")
        finish.wait(5)  # a step that cannot be interrupted
        brake.check()

    first = Run(stubborn, lock, 10)
    assert next(iter(first)) == Stage("encoding")
    first.stop()
    second = Run(lambda _: _words(1), lock, 10)
    events = iter(second)
    assert next(events) == Stage("waiting")
    assert lock.locked()
    assert not second.join(0.1)
    finish.set()
    assert list(events) == list(_words(1))
    assert first.join(2)
    assert not lock.locked()


def test_a_waiting_run_can_be_stopped() -> None:
    lock = threading.Lock()
    with lock:
        run = Run(lambda _: _words(1), lock, 10)
        run.stop()
        assert list(run) == [Stage("waiting")]


def test_waiting_does_not_count_towards_the_deadline() -> None:
    lock = threading.Lock()
    with lock:
        run = Run(lambda _: _words(1), lock, 0.2)
        time.sleep(0.3)
    assert list(run)[1:] == list(_words(1))


def test_a_run_without_an_answer_says_that_its_time_is_over() -> None:
    run = Run(_until_pressed, threading.Lock(), 0.05)
    with pytest.raises(DeadlineError, match=r"limit of 0\.05 s;"):
        list(run)
    with pytest.raises(DeadlineError, match="limit of 300 s;"):
        list(Run(_over, threading.Lock(), 300))


def _over(_: Brake) -> Iterator[Event]:
    yield Stage("encoding")
    raise Halted("deadline")


def test_the_result_of_a_stopped_run_is_an_error() -> None:
    run = Run(_until_pressed, threading.Lock(), 10)
    run.stop()
    with pytest.raises(IWPError, match="stopped"):
        run.result()
