"""What the page's links, downloads and examples do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from iwp.ui import links, takeaway, text, timings
from iwp.ui.knobs import NAMES
from iwp.ui.share_bar import ShareData

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iwp.ui.examples import Examples
    from iwp.ui.visitors import Visitors


class Sharing:
    """The functions behind these events."""

    def __init__(
        self,
        usual: Callable[[], Mapping[str, Any]],
        visitors: Visitors,
        examples: Examples,
        cache: str,
    ) -> None:
        """`usual` says the settings unchanged; from `cache` the page may show pictures."""
        self._usual = usual
        self._visitors = visitors
        self._examples = examples
        self._cache = cache

    def share(self, request: gr.Request) -> ShareData | None:
        """What can be taken along of the comparison on the page."""
        visitor = self._visitors.get(request.session_hash)
        asked, result = visitor.asked, visitor.result
        if asked is None:
            return None
        example = self._examples.number_of(asked.file)
        share = ShareData(
            query=links.query(asked, visitor.wanted, example),
            whole=example is not None,
            video=asked.media.kind == "video",
        )
        if result is not None:
            limit = asked.sides.knobs.max_new_tokens or self._usual()["max_new_tokens"]
            share.snippet = takeaway.snippet(asked, result, limit)
            share.report = takeaway.document(asked, result, limit, example)
        return share

    def restore(self, request: gr.Request) -> tuple[Any, ...]:
        """Fill in what the address says, and leave the rest of the page as it is.

        In this order: picture, question, sides, budget, a status, settings, tab, video.
        """
        said = dict(request.query_params)
        linked = links.read(said, len(self._examples.rows), self._usual())
        number, wrong = linked.example, ", ".join(linked.wrong)
        picture, question, tab, video = (None,) * 4 if number is None else self._shown(number)
        fields = (
            picture,
            linked.question or question,
            linked.left,
            linked.right,
            linked.convention,
            linked.budget,
            timings.status(text.LINK_WRONG.format(wrong)) if wrong else None,
            *(linked.knobs.get(name) for name in NAMES),
            tab,
            video,
        )
        return tuple(gr.skip() if field is None else field for field in fields)

    def draw(self, question: str) -> tuple[Any, ...]:
        """An example drawn at random: picture, question, tab, video."""
        return self._shown(self._examples.another(question))

    def choose(self, index: int) -> tuple[Any, ...]:
        """The same of an example by its place in the list, from 0."""
        return self._shown(index + 1)

    def _shown(self, number: int) -> tuple[Any, ...]:
        served, question = (
            self._examples.served(number, self._cache),
            self._examples.question(number),
        )
        if self._examples.is_clip(number):
            return gr.skip(), question, gr.update(selected="video"), served
        return served, question, gr.update(selected="picture"), gr.skip()
