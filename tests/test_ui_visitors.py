"""What the server remembers of the tabs: whose run is going on, and how much is kept."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from iwp.events import Stage
from iwp.pruners import IWP
from iwp.run import Brake, Run
from iwp.types import Media
from iwp.ui.sides import Sides
from iwp.ui.visitors import Asked, Visitor, Visitors


def endless(brake: Brake) -> Any:
    yield Stage("encoding")
    while not brake.reason:
        threading.Event().wait(0.002)


@pytest.fixture
def runs() -> Any:
    started = [Run(endless, threading.Lock(), 60) for _ in range(2)]
    yield started
    for run in started:
        run.stop()
        assert run.join(2)


def test_an_earlier_run_cannot_finish_the_next_one(runs: list[Run]) -> None:
    visitor = Visitor()
    first, second = runs
    visitor.start(first)
    visitor.start(second)
    assert first.join(2)
    assert visitor.finish(first) is False
    assert visitor.run is second
    assert not visitor.idle.is_set()
    assert not second.join(0.05)
    assert visitor.finish(second) is True
    assert visitor.idle.is_set()
    assert second.join(2)
    assert visitor.finish(None) is False


def test_nothing_is_going_on_in_a_new_tab() -> None:
    assert Visitor().idle.is_set()
    assert not Visitor().waiting


def test_a_new_question_ends_the_run_at_once(runs: list[Run]) -> None:
    visitor = Visitor()
    visitor.start(runs[0])
    visitor.ask(asked())
    assert visitor.run is None
    assert not visitor.stopped
    assert runs[0].join(2)


def asked(side: int = 10) -> Asked:
    media = Media((Image.new("RGB", (side, side)),))
    return Asked("1", media, "What?", 0.5, "picture.png", Sides(None, IWP()))


def compared(visitors: Visitors, tab: str, nbytes: int) -> Visitor:
    visitor = visitors.get(tab)
    visitor.ask(asked())
    visitor.session = SimpleNamespace(nbytes=nbytes)  # type: ignore[assignment]
    return visitor


def test_the_oldest_sessions_are_forgotten_beyond_the_bytes() -> None:
    visitors = Visitors(most_bytes=2500)
    old, middle, new = (compared(visitors, tab, nbytes=600) for tab in "abc")
    assert old.nbytes == 600 + 3 * 10 * 10
    visitors.get("c")
    assert (old.session, old.asked, old.nbytes) == (None, None, 0)
    assert middle.session is not None
    assert new.session is not None
    assert len(visitors) == 3


def test_a_tab_whose_comparison_is_going_on_keeps_its_picture(runs: list[Run]) -> None:
    visitors = Visitors(most_bytes=1)
    going, queued, alone = (compared(visitors, tab, nbytes=600) for tab in "abc")
    # looked at only now: the next tab that asks makes room
    going.asked = queued.asked = asked()
    going.start(runs[0])
    queued.page = queued.page.__class__(busy=True)
    visitors.get("c")
    assert going.asked is not None
    assert queued.asked is not None
    assert alone.session is not None  # the one that asks
