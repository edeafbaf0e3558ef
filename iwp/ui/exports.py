"""What the page's MP4 button does: the frames of a video with the shown patches burnt in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast, get_args

import gradio as gr
from gradio import processing_utils
from gradio.data_classes import FileData

from iwp import overlay, overlay_video
from iwp.errors import IWPError
from iwp.overlay import USUAL, Look, Palette
from iwp.ui import text
from iwp.ui.api import sentences
from iwp.ui.download import DownloadData
from iwp.ui.hand import picked_tokens
from iwp.video import mp4

if TYPE_CHECKING:
    from PIL.Image import Image

    from iwp.events import Ranked
    from iwp.overlay import Mode
    from iwp.recordings import Recording
    from iwp.types import Media
    from iwp.ui.visitors import Visitors

# The page's modes; without an overlay the video is as it was, which it has already.
_MODES: Final[dict[str, Mode]] = {"mask": "mask", "heat": "kept-heat", "outline": "outline"}


class Exports:
    """The function behind this event."""

    def __init__(self, visitors: Visitors, cache: str) -> None:
        """`cache` is the folder from which the page may hand out files."""
        self._visitors = visitors
        self._cache = cache

    def export(self, event: gr.EventData, request: gr.Request) -> DownloadData:
        """Write the video that the browser shows. What is in the event comes from there.

        Its `kept` has the bits of the shown side, or of both where their difference is shown: so
        methods that choose anew for every budget and hands need nothing of their own.
        """
        visitor = self._visitors.get(request.session_hash)
        asked, ranked, shown = visitor.asked, visitor.ranked, visitor.page.token_map
        with sentences():
            if asked is None or ranked is None or shown is None or asked.media.kind != "video":
                raise IWPError(text.FORGOTTEN)
            try:
                shown_id, kept, mode = event.id, list(event.kept), _MODES.get(event.mode, "mask")
                side, percent = event.side, float(event.percent)
                look = Look(float(event.dim), event.palette)
            except (AttributeError, TypeError, ValueError, OverflowError):
                raise IWPError(text.NO_PICK) from None
            usable = 0 <= percent <= 100 and 0 <= look.dim <= 1  # which no NaN is
            if not usable or look.palette not in get_args(Palette):
                raise IWPError(text.NO_PICK)
            n = shown.n if shown_id == shown.id else 0
            tokens = [picked_tokens(bits, n) for bits in kept[:2]]
            if not tokens:
                raise IWPError(text.NO_PICK)
            pictures = painted(asked.media, ranked, tokens, mode, look, left=side == "left")
            name = f"tokens_{percent:.1f}pct.mp4"
            written = self._written(name, pictures, asked.media)
            return DownloadData(file=FileData(path=written, orig_name=name))

    def _written(self, name: str, pictures: Iterator[Image], media: Media) -> str:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            mp4.write(str(file), pictures, media.times)
            return str(processing_utils.save_file_to_cache(file, self._cache))


def painted(
    media: Media,
    ranked: Ranked | Recording,
    tokens: list[tuple[int, ...]],
    mode: Mode,
    look: Look = USUAL,
    *,
    left: bool,
) -> Iterator[Image]:
    """Every frame with what one side keeps, or with the difference of two.

    Args:
        media: the video.
        ranked: where its visual tokens lie, and their order on both sides.
        tokens: numbers of the kept ones, of one side or of two.
        mode: how one side is painted.
        look: how dark and in which colours.
        left: whether that one side is the left one.
    """
    if len(tokens) == 2:
        return overlay_video.differences(media, ranked.layout, *tokens, look=look)
    ranking = ranked.rival if left and ranked.rival is not None else ranked.ranking
    ranks = overlay.kept_first(cast("list[int]", ranking.ranks.tolist()), tokens[0])
    return overlay_video.frames(media, ranked.layout, ranks, len(tokens[0]), mode, look)
