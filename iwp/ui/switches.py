"""What changing the model does on the page, and what a page shows after somebody has changed it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from iwp.adapters import DEMO
from iwp.errors import IWPError, ModelError
from iwp.events import Stage
from iwp.ui import header, text, timings
from iwp.ui.api import sentences
from iwp.ui.knob_panel import places
from iwp.ui.knobs import NAMES

if TYPE_CHECKING:
    from iwp.catalogue import Catalogue
    from iwp.ui.backend import Backend
    from iwp.ui.handlers import Handlers

_LOG = logging.getLogger(__name__)


class Switches:
    """The functions behind these events.

    Their outputs are the head, the sentence about the model, the menu, the status and the settings'
    fields, in this order.
    """

    def __init__(self, engine: Backend, handlers: Handlers, catalogue: Catalogue) -> None:
        self._engine = engine
        self._handlers = handlers
        self._catalogue = catalogue

    def switch(self, name: Any, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Load the model of this name, which comes from the browser.

        It goes on when the tab is closed.
        """
        with sentences():
            source = self._catalogue.source(name)
        old = self._catalogue.name(self._engine.source)
        if source == self._engine.source and self._there():
            yield self._shown(text.SAME_MODEL.format(old), request)
            return
        with sentences():
            run = self._engine.switch(source, name)
        try:
            for event in run.updates():
                if isinstance(event, Stage):
                    words = text.SWITCHING[event.name].format(old=old, new=name)
                    yield self._status(words, busy=True)
        except IWPError as error:
            yield self._shown(str(error), request)
            return
        except Exception:
            _LOG.exception("The model could not be changed.")
            yield self._shown(text.NOT_SWITCHED.format(name), request)
            return
        yield self._shown(text.SWITCHED.format(name), request)

    def shown(self, request: gr.Request) -> tuple[Any, ...]:
        """What a page shows that is opened or asks: somebody may have changed the model.

        Head and sentence alone, or everything where the settings are another model's: what a
        visitor may have chosen meanwhile is left alone.
        """
        visitor = self._handlers.visitors.get(request.session_hash)
        before = visitor.filled
        now = self._shown("", request)
        loaded = isinstance(now[0], str)
        filled = loaded and visitor.filled == before
        return (*now[:2], *(gr.skip() for _ in now[2:])) if filled else now

    def _there(self) -> bool:
        try:
            return bool(self._engine.vlm)
        except ModelError:
            return False

    def _shown(self, words: str, request: gr.Request) -> tuple[Any, ...]:
        source = self._engine.source
        try:
            vlm, facts = self._engine.vlm, header.facts(self._engine)
        except ModelError as error:  # another one is being loaded
            return self._status(words or str(error))
        self._handlers.visitors.get(request.session_hash).filled = source
        usual = self._handlers.usual
        layers = len(vlm.adapter.decoder_layers)
        changes = {"layer": {"choices": places(layers)}}
        return (
            header.render(facts),
            about(source),
            gr.update(value=self._catalogue.name(source)),
            timings.status(words),
            *(gr.update(value=usual[name], **changes.get(name, {})) for name in NAMES),
        )

    @staticmethod
    def _status(words: str, *, busy: bool = False) -> tuple[Any, ...]:
        skipped = (gr.skip(), gr.skip(), gr.skip())
        return (*skipped, timings.status(words, busy=busy), *(gr.skip() for _ in NAMES))


def about(source: str) -> str:
    """What the model that was loaded by this name can be asked, as HTML."""
    words = text.DEMO_MODEL if source == DEMO else text.OTHER_MODEL
    return f"<p>{escape(words)}</p>"
