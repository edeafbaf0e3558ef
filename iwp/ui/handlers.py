"""What the page's events do. Runs the engine and words its events; knows no layout."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.data_classes import FileDataDict

from iwp import media, report
from iwp.budget import check_budget
from iwp.errors import IWPError
from iwp.events import Event, Ranked
from iwp.types import Media
from iwp.ui import text, timings, token_map, upload
from iwp.ui.page import Page
from iwp.ui.progress import after
from iwp.ui.visitors import Asked, Visitor, Visitors

if TYPE_CHECKING:
    from iwp.settings import Settings
    from iwp.ui.backend import Backend

_HALT_PATIENCE_S = 5.0  # a stopped run ends within a token, also a slow model's


class Handlers:
    """The functions behind the page's events, for one engine."""

    def __init__(self, engine: Backend, settings: Settings, cache: str) -> None:
        """`cache` is the folder from which the page may show pictures."""
        self._engine = engine
        self._settings = settings
        self._cache = cache
        self._visitors = Visitors()
        self._numbers = itertools.count(1)

    # --- Compare -------------------------------------------------------------------------

    def begin(
        self, picture: str | None, question: str, budget: float, request: gr.Request
    ) -> tuple[Any, ...]:
        """Check and decode what was given, and show the picture. Waits for nobody."""
        with _sentences():
            if not picture:
                raise IWPError(text.NO_PICTURE)
            if not (question or "").strip():
                raise IWPError(text.NO_QUESTION)
            budget = check_budget(budget)
            opened = self._open(picture)
        asked = Asked(
            run_id=str(next(self._numbers)),
            media=opened,
            question=question,
            budget=budget,
            picture=upload.served_copy(opened.frames[0], self._cache),
        )
        visitor = self._visitors.get(request.session_hash)
        visitor.ask(asked)
        return visitor.show(self._unranked(asked)).values()

    def rank(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Start the comparison that `begin` noted and show the ranked tokens.

        The run goes on after this event: `answer` takes it over. Two events, because gradio sends
        every output of an event at every step, and the browser should not handle the whole map
        again for each word.
        """
        visitor = self._visitors.get(request.session_hash)
        asked = visitor.asked
        if asked is None:
            return
        # An earlier run of this tab may have written until now: only here it is over.
        visitor.clear()
        visitor.show(self._unranked(asked))
        if visitor.stopped:
            yield visitor.show(visitor.page.ended()).values()
            return
        try:
            with _sentences():
                visitor.start(self._engine.compare(asked.media, asked.question, asked.budget))
                for event in _until_ranked(visitor):
                    page = after(event, visitor, asked.budget)
                    if isinstance(event, Ranked):
                        ranked = token_map.ranked(
                            asked.run_id, asked.picture, event.layout, event.ranking, asked.budget
                        )
                        page = replace(page, token_map=ranked)
                    yield visitor.show(page).values()
        except gr.Error:
            yield visitor.show(visitor.page.ended()).values()
            raise
        if visitor.run is None and visitor.asked is asked:
            yield visitor.show(visitor.page.ended()).values()

    def answer(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Show both answers of the run that `rank` started, and then a budget released since."""
        visitor = self._visitors.get(request.session_hash)
        if visitor.asked is None:
            return
        yield from self._follow(visitor, visitor.asked.budget)
        if visitor.answered is not None:
            yield from self.repruned(request)

    # --- budget --------------------------------------------------------------------------

    def note(self, event: gr.EventData, request: gr.Request) -> None:
        """Remember the released budget. Not queued, so that a running answer learns of it.

        The numbers come from the browser; the engine checks the budget before it is used.
        """
        self._visitors.get(request.session_hash).want(float(event.budget), int(event.seq))

    def repruned(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Answer the pruned side again at the newest budget.

        A row of releases makes a row of these events: the newest budget is answered by whichever
        comes first, and the others find it answered.
        """
        visitor = self._visitors.get(request.session_hash)
        budget, session = visitor.wanted, visitor.session
        if session is None:
            if not visitor.waiting:  # forgotten: only a page with ranked tokens releases a budget
                yield (gr.skip(), gr.skip(), gr.skip(), timings.status(text.FORGOTTEN))
            return
        if visitor.run is not None:
            return  # a comparison that is going on looks here at its end
        if visitor.stopped or visitor.answered == budget:
            return
        known, visitor.answered = visitor.baseline, None
        visitor.show(replace(visitor.page, pruned="", timings=timings.render(known, None)))
        with _sentences():
            visitor.start(self._engine.repruned(session, budget))
        yield from self._follow(visitor, budget, again=True)

    # --- Stop and leaving ----------------------------------------------------------------

    def halt(self, request: gr.Request) -> None:
        """Stop this tab's run and wait until it has ended. Not queued."""
        visitor = self._visitors.get(request.session_hash)
        run = visitor.run
        visitor.halt()
        if run is not None:
            visitor.idle.wait(_HALT_PATIENCE_S)
            visitor.finish(run)  # its event may be cancelled while it waits in the queue

    def last(self, request: gr.Request) -> tuple[str, ...]:
        """What a stopped run left, for the page whose event was cancelled."""
        visitor = self._visitors.get(request.session_hash)
        if visitor.run is not None:  # the next one has started
            return visitor.page.answers()
        return visitor.show(visitor.page.ended()).answers()

    def forget(self, request: gr.Request) -> None:
        """The tab was closed."""
        self._visitors.forget(request.session_hash)

    # --- API -----------------------------------------------------------------------------

    def compare(self, image: FileDataDict, question: str, budget: float = 0.222) -> dict[str, Any]:
        """Answer a question about a picture with every visual token and with the kept ones.

        Args:
            image: the picture, an uploaded file (`gradio_client.handle_file`).
            question: what to ask.
            budget: fraction of the visual tokens to keep, above 0 and at most 1.

        Returns:
            Both answers with their timings, the numbers of the kept visual tokens and the rank of
            every one; the object that `python -m iwp run --json` prints.
        """
        with _sentences():
            picture = self._open(upload.uploaded_path(image))
            run = self._engine.compare(picture, question, budget)
            try:
                return report.to_json(run.result())
            finally:
                run.stop()

    # --- parts ---------------------------------------------------------------------------

    def _open(self, picture: str | Path) -> Media:
        return media.open_picture(picture, max_pixels=self._settings.max_pixels)

    @staticmethod
    def _unranked(asked: Asked) -> Page:
        picture = token_map.unranked(asked.run_id, asked.picture, asked.media.size, asked.budget)
        return Page(token_map=picture, status=text.STARTING, busy=True)

    @staticmethod
    def _follow(
        visitor: Visitor, budget: float, *, again: bool = False
    ) -> Iterator[tuple[str, ...]]:
        """The answers as the run fills them in. The run ends when this generator is closed.

        An answer given `again` also ends when a newer budget is wanted: the next event has it.
        """
        run, events = visitor.run, visitor.events
        if events is None:
            return
        try:
            with _sentences():
                for event in events:
                    if visitor.run is not run or (again and visitor.wanted != budget):
                        return
                    yield visitor.show(after(event, visitor, budget)).answers()
        except gr.Error:
            yield visitor.show(visitor.page.ended()).answers()
            raise
        finally:
            current = visitor.finish(run)
        if current:
            yield visitor.show(visitor.page.ended()).answers()


def _until_ranked(visitor: Visitor) -> Iterator[Event]:
    """The run's events up to the ranking. The run goes on unless this ends in any other way."""
    run, events = visitor.run, visitor.events
    try:
        for event in events or ():
            if visitor.run is not run:
                return
            yield event
            if isinstance(event, Ranked):
                return
    except BaseException:  # also when the tab is closed
        visitor.finish(run)
        raise
    visitor.finish(run)


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn IWP's own errors into the one sentence that page and API show."""
    try:
        yield
    except IWPError as error:
        raise gr.Error(str(error), title=text.ERROR_TITLE, print_exception=False) from error
