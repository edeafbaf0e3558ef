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
from iwp.types import Answer, Done, Event, Media, Ranked, SideDone, Stage, Text
from iwp.ui import text, timings, token_map, upload
from iwp.ui.page import Page
from iwp.ui.visitors import Asked, Visitor, Visitors

if TYPE_CHECKING:
    from iwp.settings import Settings
    from iwp.ui.backend import Backend, PageRun

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
        page = Page(
            token_map=token_map.unranked(asked.run_id, asked.picture, opened.size, budget),
            status=text.STARTING,
            busy=True,
        )
        return visitor.show(page).values()

    def answer(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Run the comparison that `begin` noted, yielding the page as it fills."""
        visitor = self._visitors.get(request.session_hash)
        asked = visitor.asked
        if asked is None:
            return
        page = Page(token_map.unranked(asked.run_id, asked.picture, asked.media.size, asked.budget))
        if visitor.stopped:
            yield replace(page, status=text.STOPPED).values()
            return
        with _sentences():
            run = self._engine.compare(asked.media, asked.question, asked.budget)
            for event in self._events(run, visitor):
                if isinstance(event, Ranked):
                    ranked = token_map.ranked(
                        asked.run_id, asked.picture, event.layout, event.ranking, asked.budget
                    )
                    page = replace(page, token_map=ranked)
                page = self._apply(event, page, visitor, asked.budget)
                yield visitor.show(page).values()
        yield visitor.show(page.ended()).values()

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
        if session is None or visitor.stopped or visitor.answered == budget:
            return
        known = visitor.baseline
        page = Page(baseline=known.answer if known else "", timings=timings.render(known, None))
        with _sentences():
            for event in self._events(self._engine.repruned(session, budget), visitor):
                if visitor.wanted != budget:
                    return  # the next event answers the newer budget
                page = self._apply(event, page, visitor, budget)
                yield visitor.show(page).answers()
        yield visitor.show(page.ended()).answers()

    # --- Stop and leaving ----------------------------------------------------------------

    def halt(self, request: gr.Request) -> tuple[str, ...]:
        """Stop this tab's run, wait for its last words and show them. Not queued.

        The run's own event may be cancelled before they reach the browser.
        """
        visitor = self._visitors.get(request.session_hash)
        visitor.halt()
        if visitor.run is not None:
            visitor.idle.wait(_HALT_PATIENCE_S)
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

    def _events(self, run: PageRun, visitor: Visitor) -> Iterator[Event]:
        """The run's events; the run ends when this generator is closed.

        The `finally` runs on the server's event loop when a tab closes: it only sets flags.
        """
        visitor.run = run
        visitor.idle.clear()
        try:
            if visitor.stopped:
                run.stop()
            yield from run.updates()
        finally:
            run.stop()
            visitor.run = None
            visitor.idle.set()

    def _apply(self, event: Event, page: Page, visitor: Visitor, budget: float) -> Page:
        """The page after one event; what later events need is noted in `visitor`."""
        if isinstance(event, Stage):
            return replace(page, status=text.STAGES[event.name], busy=True)
        if isinstance(event, Ranked):
            visitor.session = event.session
        elif isinstance(event, Text):
            if event.side == "baseline":
                return replace(page, baseline=event.text)
            return replace(page, pruned=event.text)
        elif isinstance(event, SideDone):
            visitor.session = event.session
            if event.side == "baseline":
                return self._baseline_done(event.answer, page, visitor)
            if event.answer.finish not in ("stopped", "deadline"):
                visitor.answered = budget
            table = timings.render(visitor.baseline, event.answer)
            return replace(page, pruned=event.answer.answer, timings=table)
        elif isinstance(event, Done):
            visitor.session = event.session
            ended = event.result.pruned.finish == "deadline"
            return replace(page, status=text.DEADLINE if ended else text.DONE, busy=False)
        return page

    @staticmethod
    def _baseline_done(answer: Answer, page: Page, visitor: Visitor) -> Page:
        visitor.baseline = answer
        return replace(page, baseline=answer.answer, timings=timings.render(answer, None))


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn IWP's own errors into the one sentence that page and API show."""
    try:
        yield
    except IWPError as error:
        raise gr.Error(str(error), title=text.ERROR_TITLE, print_exception=False) from error
