"""What the page's events do. Runs the engine and words its events; knows no layout."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from iwp.budget import check_budget
from iwp.errors import IWPError, ModelError
from iwp.events import Ranked
from iwp.ui import hand, knobs, sides, text, timings, token_map, upload
from iwp.ui.api import sentences
from iwp.ui.page import Page
from iwp.ui.progress import after, recorded, table
from iwp.ui.visitors import Asked, Visitor, Visitors

if TYPE_CHECKING:
    from iwp.recordings import Recording
    from iwp.settings import Settings
    from iwp.types import Media
    from iwp.ui.backend import Backend

_HALT_PATIENCE_S = 5.0  # a stopped run ends within a token, also a slow model's


class Handlers:
    """The functions behind the page's events, for one engine.

    Attributes:
        visitors: the open tabs.
    """

    def __init__(self, engine: Backend, settings: Settings, cache: str) -> None:
        """`cache` is the folder from which the page may show pictures."""
        self._engine = engine
        self._settings = settings
        self._cache = cache
        self.visitors = Visitors(engine.source)
        self._numbers = itertools.count(1)
        self._usual = knobs.recommended(engine.vlm, settings.max_new_tokens)

    @property
    def usual(self) -> Mapping[str, Any]:
        """The settings before anything is changed, by name; without a model those of the last."""
        with suppress(ModelError):
            self._usual = knobs.recommended(self._engine.vlm, self._settings.max_new_tokens)
        return self._usual

    # --- Compare -------------------------------------------------------------------------

    def begin(
        self,
        picture: str | None,
        video: str | None,
        question: str,
        budget: float,
        left: str,
        right: str,
        convention: str,
        request: gr.Request,
        *settings: Any,
    ) -> tuple[Any, ...]:
        """Check and decode what was given, and show it. Waits for nobody.

        `picture` and `video` are files, of which the page sends the one on the open tab; `settings`
        are the panel's, in the order of `iwp.ui.knobs.NAMES`, or none; another model's are ignored.
        """
        visitor = self.visitors.get(request.session_hash)
        with sentences():
            if not (picture or video):
                raise IWPError(text.NO_PICTURE)
            if not (question or "").strip():
                raise IWPError(text.NO_QUESTION)
            budget = check_budget(budget)
            own = visitor.filled == self._engine.source
            changed = knobs.read(settings if own else (), self.usual)
            chosen = sides.choose(self._engine.vlm, budget, left, right, convention, changed)
            opened = self._opened(visitor, picture, video)
        asked = self.asked(opened, question, budget, chosen, video or picture or "")
        return self._begun(visitor, asked)

    def pick(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """Begin to answer with the patches that a hand picked, against the method's choice.

        What is in the event comes from the browser.
        """
        visitor = self.visitors.get(request.session_hash)
        asked, shown = visitor.asked, visitor.page.token_map
        with sentences():
            if asked is None or shown is None or not shown.n or visitor.waiting:
                raise IWPError(text.PICK_LATER)
            try:
                shown_id, kept = event.id, event.kept
            except (AttributeError, TypeError):
                shown_id, kept = None, None
            tokens = hand.picked_tokens(kept, shown.n if shown_id == shown.id else 0)
            chosen = hand.by_hand(asked.sides, tokens, visitor.wanted)
        again = replace(asked, run_id=str(next(self._numbers)), sides=chosen, recording=None)
        return self._begun(visitor, replace(again, budget=visitor.wanted))

    def rank(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Start the comparison that `begin` noted and show the ranked tokens.

        The run goes on after this event: `answer` takes it over. Two events, because gradio sends
        every output of an event at every step, and the browser should not handle the whole map
        again for each word.
        """
        visitor = self.visitors.get(request.session_hash)
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
            with sentences():
                visitor.start(
                    asked.sides.start(self._engine, asked.media, asked.question, asked.budget)
                )
                for event in visitor.until_ranked():
                    page = after(event, visitor, asked, asked.budget)
                    if isinstance(event, Ranked):
                        page = replace(page, token_map=token_map.ranked(asked, event))
                    yield visitor.show(page).values()
        except gr.Error:
            yield visitor.show(visitor.page.ended()).values()
            raise
        if visitor.run is None and visitor.asked is asked:
            yield visitor.show(visitor.page.ended()).values()

    def answer(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Show both answers of the run that `rank` started, and then a budget released since."""
        visitor = self.visitors.get(request.session_hash)
        if visitor.asked is None:
            return
        yield from self._follow(visitor, visitor.asked, visitor.asked.budget)
        if visitor.answered is not None:
            yield from self.repruned(request)

    # --- budget --------------------------------------------------------------------------

    def note(self, event: gr.EventData, request: gr.Request) -> None:
        """Remember the released budget. Not queued, so that a running answer learns of it.

        The numbers come from the browser: what is no budget is passed over.
        """
        try:
            budget, number = check_budget(event.budget), int(event.seq)
        except (AttributeError, TypeError, ValueError, OverflowError, IWPError):
            return
        self.visitors.get(request.session_hash).want(budget, number)

    def repruned(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Answer every side that has a method again at the newest budget.

        A row of releases makes a row of these events: the newest budget is answered by whichever
        comes first, and the others find it answered.
        """
        visitor = self.visitors.get(request.session_hash)
        budget, session, asked = visitor.wanted, visitor.session, visitor.asked
        if session is None and asked is not None and asked.recording is not None:
            yield from self._recorded(visitor, asked, asked.recording, request)
            return
        if session is None or asked is None:
            if not visitor.waiting:  # forgotten: only a page with ranked tokens releases a budget
                status = timings.status(text.FORGOTTEN)
                yield (gr.skip(), gr.skip(), gr.skip(), status, gr.skip())
            return
        if visitor.run is not None:
            return  # a comparison that is going on looks here at its end
        if visitor.stopped or visitor.answered == budget:
            return
        with sentences():  # a refusal leaves the answers that are there
            run = self._engine.repruned(session, budget)
        visitor.answered = visitor.result = None
        page = replace(visitor.page, pruned="")
        if asked.sides.left is not None:
            visitor.baseline, page = None, replace(page, baseline="")
        visitor.show(replace(page, timings=table(visitor, asked.sides, None)))
        visitor.start(run)
        yield from self._follow(visitor, asked, budget, again=True)

    # --- Stop and leaving ----------------------------------------------------------------

    def halt(self, request: gr.Request) -> None:
        """Stop this tab's run and wait until it has ended. Not queued."""
        visitor = self.visitors.get(request.session_hash)
        run = visitor.run
        visitor.halt()
        if run is not None:
            visitor.idle.wait(_HALT_PATIENCE_S)
            visitor.finish(run)  # its event may be cancelled while it waits in the queue

    def last(self, request: gr.Request) -> tuple[Any, ...]:
        """What a stopped run left, for the page whose event was cancelled."""
        visitor = self.visitors.get(request.session_hash)
        if visitor.run is None:  # or else the next one has started
            visitor.show(visitor.page.ended())
        return (*visitor.page.answers(), visitor.page.sweep)

    def forget(self, request: gr.Request) -> None:
        """The tab was closed."""
        self.visitors.forget(request.session_hash)

    # --- parts ---------------------------------------------------------------------------

    def asked(
        self,
        opened: Media,
        question: str,
        budget: float,
        chosen: sides.Sides,
        file: str,
        recording: Recording | None = None,
    ) -> Asked:
        """A new question about what was opened from `file`."""
        return Asked(
            run_id=str(next(self._numbers)),
            media=opened,
            question=question,
            budget=budget,
            picture=upload.served_copy(opened.frames[0], self._cache),
            sides=chosen,
            file=file,
            frames=upload.served_frames(opened, self._cache),
            recording=recording,
        )

    def _recorded(
        self, visitor: Visitor, asked: Asked, recording: Recording, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """The recorded answer at the newest budget; where there is none, a comparison is run."""
        budget = visitor.wanted
        if visitor.run is not None or visitor.stopped or visitor.answered == budget:
            return
        result = recording.at(budget)
        if result is not None:
            yield visitor.show(recorded(visitor, asked, result)).answers()
            return
        asked = replace(asked, budget=budget, recording=None)
        with sentences():
            run = asked.sides.start(self._engine, asked.media, asked.question, budget)
        visitor.clear()
        visitor.asked, visitor.redraw = asked, True
        visitor.show(replace(self._unranked(asked), token_map=visitor.page.token_map))
        visitor.start(run)
        yield from self._follow(visitor, asked, budget)
        if visitor.answered is not None:
            yield from self.repruned(request)

    def _opened(self, visitor: Visitor, picture: str | None, video: str | None) -> Media:
        vlm, uploaded = self._engine.vlm, visitor.uploaded
        chosen = ("video", video) if video else ("picture", picture)
        if uploaded is not None and uploaded[:2] == (chosen, vlm.serial):
            return uploaded[2]  # decoded when it was chosen
        if not video:
            return upload.opened_picture(picture or "", self._settings.max_pixels)
        return upload.opened_video(video, vlm.adapter, self._settings.max_pixels)

    def _begun(self, visitor: Visitor, asked: Asked) -> tuple[Any, ...]:
        visitor.ask(asked)
        page = visitor.show(self._unranked(asked))
        return (*page.titled(*asked.sides.titles), page.sweep)

    @staticmethod
    def _unranked(asked: Asked) -> Page:
        return Page(token_map=token_map.unranked(asked), status=text.STARTING, busy=True)

    @staticmethod
    def _follow(
        visitor: Visitor, asked: Asked, budget: float, *, again: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """The answers as the run fills them in. The run ends when this generator is closed.

        An answer given `again` also ends when a newer budget is wanted: the next event has it.
        """
        run, events = visitor.run, visitor.events
        if events is None:
            return
        try:
            with sentences():
                for event in events:
                    if visitor.run is not run or (again and visitor.wanted != budget):
                        return
                    yield visitor.show(after(event, visitor, asked, budget)).answers()
        except gr.Error:
            yield visitor.show(visitor.page.ended()).answers()
            raise
        finally:
            current = visitor.finish(run)
        if current:
            yield visitor.show(visitor.page.ended()).answers()
