"""The page's events as functions, for tests without a page."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from iwp.ui.handlers import Handlers
from iwp.ui.knobs import NAMES

TAB: Any = SimpleNamespace(session_hash="tab", query_params={})


def begin(
    handlers: Handlers,
    picture: str | None,
    question: str,
    budget: Any,
    left: str = "every",
    right: str = "iwp",
    convention: str = "cut",
    video: str | None = None,
    **settings: Any,
) -> tuple[Any, ...]:
    """Press Compare. `settings` are those of the panel that were changed, by name."""
    given = {**handlers.usual, **settings}
    fields = [given[name] for name in NAMES]
    sides = (left, right, convention)
    return handlers.begin(picture, video, question, budget, *sides, TAB, *fields)


def follow(handlers: Handlers) -> list[tuple[Any, ...]]:
    """What the page gets from the two events after `begin`: the map from the first only."""
    ranked = list(handlers.rank(TAB))
    return [*ranked, *((ranked[-1][0], *rest) for rest in handlers.answer(TAB))]


def release(handlers: Handlers, budget: float, seq: int) -> None:
    handlers.note(SimpleNamespace(budget=budget, seq=seq), TAB)  # type: ignore[arg-type]


def wait_for(happened: Callable[[], bool]) -> None:
    for _ in range(1000):
        if happened():
            return
        time.sleep(0.01)
    pytest.fail("it never happened")
