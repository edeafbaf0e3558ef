"""Kept and dropped visual tokens painted on the frames of a video. Pure, as `iwp.overlay`."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iwp.overlay import (
    NO_TOKEN,
    USUAL,
    Look,
    Mode,
    Pixels,
    Tokens,
    paint,
    paint_difference,
    token_of_pixel,
)
from iwp.types import Media, TokenGrid, VisualLayout

_GAP = 8  # pixels between the frames of a sheet
_SHEET_SIDE = 4096  # pixels that a sheet is wide at most


def frames(
    media: Media,
    layout: VisualLayout,
    ranks: Sequence[int] | NDArray[np.int64],
    keep: int,
    mode: Mode = "mask",
    look: Look = USUAL,
) -> Iterator[Image.Image]:
    """Paint every frame, one after the other, at its own size.

    Args:
        media: the frames that the layout was made for.
        layout: where the tokens lie.
        ranks: (n,) rank of every visual token; tokens with `rank < keep` are kept.
        keep: how many tokens are kept, of all frames together.
        mode: see `iwp.overlay.render`.
        look: how it looks.
    """
    rank = np.asarray(ranks, dtype=np.int32)
    assert rank.shape == (layout.n,)
    for picture, tokens in _shown(media, layout):
        yield Image.fromarray(paint(picture, tokens, rank, keep, mode, look))


def differences(
    media: Media,
    layout: VisualLayout,
    left: Sequence[int],
    right: Sequence[int],
    *,
    look: Look = USUAL,
) -> Iterator[Image.Image]:
    """Paint on every frame where two methods differ: see `iwp.overlay.difference`."""
    on_left, on_right = (np.isin(np.arange(layout.n), kept) for kept in (left, right))
    for picture, tokens in _shown(media, layout):
        yield Image.fromarray(paint_difference(picture, tokens, on_left, on_right, look=look))


def sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures, of one size, on one: in rows, about as wide as high, reduced where large."""
    width, height = pictures[0].size
    columns = max(1, round(math.sqrt(len(pictures) * height / width)))
    columns = min(columns, len(pictures))
    scale = min(1.0, _SHEET_SIDE / columns / width)
    cell = (max(1, round(width * scale)), max(1, round(height * scale)))
    rows = -(-len(pictures) // columns)
    step = (cell[0] + _GAP, cell[1] + _GAP)
    made = Image.new("RGB", (columns * step[0] - _GAP, rows * step[1] - _GAP), "white")
    for i, picture in enumerate(pictures):
        small = picture if picture.size == cell else picture.resize(cell, Image.Resampling.LANCZOS)
        made.paste(small, (i % columns * step[0], i // columns * step[1]))
    return made


def _shown(media: Media, layout: VisualLayout) -> Iterator[tuple[Pixels, Tokens]]:
    """Every frame, and the token of every pixel of it."""
    assert media.size == (layout.width, layout.height)
    starts = [grid.frame for grid in layout.grids]
    known: tuple[TokenGrid, Tokens] | None = None
    for number, frame in enumerate(media.frames):
        grid = layout.grids[bisect_right(starts, number) - 1]
        shape = replace(grid, id="", label="", frame=0, offset=0)
        # The grids of a video are alike: their pixels are looked up once.
        if known is None or known[0] != shape:
            known = shape, token_of_pixel(layout, shape)
        cells = known[1]
        yield np.asarray(frame), np.where(cells == NO_TOKEN, NO_TOKEN, cells + grid.offset)
