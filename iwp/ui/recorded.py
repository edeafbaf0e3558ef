"""What the page shows of an example before any model is asked: the recorded result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import gradio as gr

from iwp.budget import USUAL_BUDGET
from iwp.errors import IWPError
from iwp.events import Ranked
from iwp.ui import knobs, links, sides, token_map
from iwp.ui.page import Page
from iwp.ui.progress import recorded

if TYPE_CHECKING:
    from iwp.recordings import Recording
    from iwp.types import Media
    from iwp.ui.backend import Backend
    from iwp.ui.handlers import Handlers
    from iwp.ui.shelf import Shelf
    from iwp.ui.visitors import Asked, Visitor

_OUTPUTS: Final = 7
_Found: TypeAlias = "tuple[str, Recording]"  # a file and what was recorded of it


class Recorded:
    """The functions behind these events. They read the model's settings, and run nothing."""

    def __init__(self, handlers: Handlers, engine: Backend, shelf: Shelf) -> None:
        self._handlers = handlers
        self._engine = engine
        self._shelf = shelf
        self._media: dict[str, Media] = {}

    def first(
        self,
        picture: str | None,
        video: str | None,
        question: str,
        budget: float | None,
        left: str,
        right: str,
        convention: str,
        request: gr.Request,
        *settings: Any,
    ) -> tuple[Any, ...]:
        """What a page that has just been opened shows: as `show`, but a link's budget stays.

        So does the sentence about what a link says and the page cannot use.
        """
        visitor = self._handlers.visitors.get(request.session_hash)
        chosen = budget or USUAL_BUDGET  # gradio sends 0 for an empty number
        found = self._found((video, picture), question, (left, right, convention), settings)
        if found is None or found[1].at(chosen) is None:
            return _unchanged()
        asked = self._asked(found, chosen)
        if visitor.asked is not None:  # somebody was quicker
            return _unchanged()
        *answers, status, kept, swept = self._shown(visitor, asked)
        said = links.read(
            dict(request.query_params), len(self._shelf.examples.rows), self._handlers.usual
        )
        return (*answers, gr.skip() if said.wrong else status, kept, swept)

    def show(
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
        """Show the result of the example in the form, at the recorded budget next to the slider's.

        The page stays as it is where nothing was recorded with these sides and settings, and while
        a comparison is going on.
        """
        visitor = self._handlers.visitors.get(request.session_hash)
        found = self._found((video, picture), question, (left, right, convention), settings)
        if found is None or visitor.waiting:
            return _unchanged()
        return self._shown(visitor, self._asked(found, found[1].nearest(budget)))

    def redrawn(self, request: gr.Request) -> Any:
        """The map of the run that has followed a recording: its device may rank otherwise.

        An event of its own, for the reason that `Handlers.rank` gives.
        """
        visitor = self._handlers.visitors.get(request.session_hash)
        asked, ranked = visitor.asked, visitor.ranked
        if not visitor.redraw or asked is None or not isinstance(ranked, Ranked):
            return gr.skip()
        visitor.redraw = False
        visitor.asked = asked = replace(asked, run_id=f"{asked.run_id}-run")
        shown = token_map.ranked(replace(asked, budget=visitor.wanted), ranked)
        visitor.show(replace(visitor.page, token_map=shown))
        return shown

    def _found(
        self,
        given: tuple[str | None, ...],
        question: str,
        chosen: tuple[str | None, str, str],
        settings: Sequence[Any],
    ) -> _Found | None:
        """What was recorded of one of the given files; of the usual sides and settings only."""
        left, *others = chosen
        if left not in (sides.EVERY, None) or others != [sides.FIRST, "cut"]:
            return None
        try:
            plain = knobs.read(settings, self._handlers.usual) == knobs.Knobs()
        except IWPError:  # Compare says what is wrong
            return None
        if not plain:
            return None
        found = ((file, self._shelf.of(Path(file), question)) for file in given if file)
        return next(((file, one) for file, one in found if one), None)

    def _asked(self, file_found: _Found, budget: float) -> Asked:
        """The question that was recorded, at a recorded budget."""
        file, found = file_found
        if found.digest not in self._media:
            self._media[found.digest] = found.media(Path(file))
        chosen = sides.choose(self._engine.vlm, budget, None, sides.FIRST, "cut")
        media = self._media[found.digest]
        return self._handlers.asked(media, found.question, budget, chosen, file, found)

    def _shown(self, visitor: Visitor, asked: Asked) -> tuple[Any, ...]:
        found = asked.recording
        assert found is not None
        result = found.at(asked.budget)
        assert result is not None
        visitor.ask(asked)
        visitor.ranked = found
        visitor.show(Page(token_map=token_map.ranked(asked, found)))
        page = visitor.show(recorded(visitor, asked, result))
        return (*page.titled(*asked.sides.titles), page.sweep)


def _unchanged() -> tuple[Any, ...]:
    return tuple(gr.skip() for _ in range(_OUTPUTS))
