"""What the page's sweep does: the same question at a row of budgets, by the right side's method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from iwp.errors import IWPError
from iwp.pruners import HandPicked
from iwp.ui import text, timings
from iwp.ui.api import sentences
from iwp.ui.progress import after, swept

if TYPE_CHECKING:
    from iwp.ui.backend import Backend
    from iwp.ui.page import Page
    from iwp.ui.visitors import Visitors


class Sweeps:
    """The functions behind the sweep's events, for one engine."""

    def __init__(self, engine: Backend, visitors: Visitors) -> None:
        self._engine = engine
        self._visitors = visitors

    def ask(self, stale: bool, request: gr.Request) -> None:
        """The button was pressed: an earlier Stop does not count.

        Args:
            stale: whether the page shows answers to another question than it would ask now.
            request: the tab.
        """
        visitor = self._visitors.get(request.session_hash)
        asked = visitor.asked
        with sentences():
            if stale:
                raise IWPError(text.SWEEP_STALE)
            if asked is None or visitor.waiting or not (asked.recording or visitor.session):
                raise IWPError(text.SWEEP_LATER)
            if isinstance(asked.sides.right, HandPicked):
                raise IWPError(text.SWEEP_HAND)
        visitor.stopped = False

    def sweep(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Answer at every budget and draw what there is after each; of a recording what it has."""
        visitor = self._visitors.get(request.session_hash)
        session, asked = visitor.session, visitor.asked
        if asked is None or visitor.waiting:  # something else was quicker
            return
        if asked.recording is not None:
            yield _outputs(visitor.show(swept(visitor.page, asked.recording)))
            return
        if session is None:
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
