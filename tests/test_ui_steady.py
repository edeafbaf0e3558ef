"""Events of the page that have nothing to say."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from iwp.settings import Settings
from iwp.ui import build_demo
from iwp.ui.steady import steady
from tests.browser.fake import FakeEngine


def counted(n: int, closed: list[int]) -> Iterator[int]:
    try:
        yield from range(n)
    finally:
        closed.append(n)


@pytest.mark.parametrize(("n", "steps"), [(0, [gr.skip()]), (1, [0]), (3, [0, 1, 2])])
def test_there_is_always_a_step(n: int, steps: list[Any]) -> None:
    assert list(steady(counted)(n, [])) == steps


def test_it_closes_the_handler_with_itself() -> None:
    closed: list[int] = []
    steps: Any = steady(counted)(3, closed)
    assert next(steps) == 0
    assert closed == []
    steps.close()
    assert closed == [3]


def test_an_error_goes_through() -> None:
    def broken() -> Iterator[int]:
        raise gr.Error("no")
        yield 0

    with pytest.raises(gr.Error):
        list(steady(broken)())


def test_gradio_still_sees_what_a_handler_takes() -> None:
    def handler(text: str, request: gr.Request) -> Iterator[str]:
        yield text

    assert inspect.signature(steady(handler)) == inspect.signature(handler)
    assert inspect.isgeneratorfunction(steady(handler))


def test_no_event_of_the_page_can_empty_it() -> None:
    engine: Any = FakeEngine()
    engine.switchable = True
    page = build_demo(engine, Settings(models=("demo", "other/one")), Path("/nowhere"))
    steps = [event.fn for event in page.fns.values() if inspect.isgeneratorfunction(event.fn)]
    assert len(steps) >= 6
    for step in steps:
        assert step.__code__ is steady(counted).__code__  # type: ignore[attr-defined]
