"""What the page's sweep does: the same question at a row of budgets, by the right side's method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from iwp.pruners import HandPicked
from iwp.ui import text, timings
from iwp.ui.api import sentences
from iwp.ui.progress import after

if TYPE_CHECKING:
    from iwp.ui.backend import Backend
    from iwp.ui.page import Page
    from iwp.ui.visitors import Visitors


class Sweeps:
    """The functions behind the sweep's events, for one engine."""

    def __init__(self, engine: Backend, visitors: Visitors) -> None:
        self._engine = engine
        self._visitors = visitors

    def ask(self, request: gr.Request) -> None:
        """The button was pressed: an earlier Stop does not count. Not queued."""
        self._visitors.get(request.session_hash).stopped = False

    def sweep(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Answer at every budget and draw what there is after each."""
        visitor = self._visitors.get(request.session_hash)
        session, asked = visitor.session, visitor.asked
        if session is None or asked is None or visitor.waiting:
            told = text.SWEEP_RECORDED if asked and asked.recording else text.SWEEP_LATER
            yield visitor.page.sweep, timings.status(told)
            return
        if isinstance(asked.sides.right, HandPicked):
            yield visitor.page.sweep, timings.status(text.SWEEP_HAND)
            return
        if visitor.stopped:
            return
        with sentences():
            run = self._engine.sweep(session)
        visitor.show(replace(visitor.page, sweep="", status=text.STARTING, busy=True))
        visitor.start(run)
        current = False
        try:
            with sentences():
                for event in visitor.events or ():
                    if visitor.run is not run:
                        return
                    yield _outputs(visitor.show(after(event, visitor, asked, asked.budget)))
        except gr.Error:
            yield _outputs(visitor.show(visitor.page.ended()))
            raise
        finally:
            current = visitor.finish(run)
        if current:
            yield _outputs(visitor.show(visitor.page.ended()))


def _outputs(page: Page) -> tuple[Any, ...]:
    return page.sweep, timings.status(page.status, busy=page.busy)
