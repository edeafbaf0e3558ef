"""Where the visual tokens of an AnyRes picture lie: the base crop, then a grid of crops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from transformers.image_processing_utils import select_best_resolution

from iwp.adapters.geometry import Axis, Span, blocks
from iwp.types import Block, TokenGrid, VisualLayout

# A grid whose side exceeds the allowed one by this factor is reduced by interpolation.
_SHRINK_ABOVE = 1.1


@dataclass(frozen=True)
class AnyRes:
    """The picture geometry of one checkpoint.

    Attributes:
        crop: side of a crop in pixels.
        patch: side of a patch in pixels. Where it does not divide `crop`, the remaining pixels at
            the right and bottom of each crop belong to no token.
        pinpoints: the allowed (height, width) of the canvas, in pixels.
        max_crops: a grid of notably more crops than this is reduced by interpolation; None keeps
            every grid as it is.
    """

    crop: int
    patch: int
    pinpoints: Sequence[Sequence[int]]
    max_crops: int | None = None

    @property
    def side(self) -> int:
        """Tokens along one side of a crop."""
        return self.crop // self.patch

    def layout(self, width: int, height: int) -> VisualLayout:
        """Grid "base" (the picture squashed into one crop), then grid "hires" (the canvas)."""
        base = TokenGrid(
            "base", "Whole picture", self.side, self.side, 0, self._base(width, height)
        )
        grids = [base]
        n = self.side**2
        hires = self._hires(width, height, offset=n)
        if hires.rows:  # a very long picture may keep no row of its canvas
            grids.append(hires)
            n += hires.rows * hires.stride
        return VisualLayout(n, width, height, tuple(grids))

    def _base(self, width: int, height: int) -> tuple[Block, ...]:
        cells, step = range(self.side), Fraction(self.patch)
        down = Axis(height, self.crop, 0).spans(cells, 0, step)
        across = Axis(width, self.crop, 0).spans(cells, 0, step)
        return blocks(down, across)

    def _hires(self, width: int, height: int, offset: int) -> TokenGrid:
        pinpoints = [list(pinpoint) for pinpoint in self.pinpoints]
        canvas_h, canvas_w = select_best_resolution([height, width], pinpoints)
        down, across = _fit(width, height, canvas_w, canvas_h)
        tall, wide = (length // self.crop * self.side for length in (canvas_h, canvas_w))
        top, left = _unpadding(width, height, wide, tall)
        rows, cols = tall - 2 * top, wide - 2 * left
        ratio = 1.0
        if self.max_crops is not None:
            ratio = math.sqrt(rows * cols / (self.max_crops * self.side**2))
        if ratio > _SHRINK_ABOVE:
            small_rows, small_cols = int(rows // ratio), int(cols // ratio)
            pieces = blocks(
                self._reduced(down, range(top, top + rows), small_rows),
                self._reduced(across, range(left, left + cols), small_cols),
            )
            rows, cols = small_rows, small_cols
        else:
            pieces = blocks(
                self._by_crop(down, range(top, top + rows)),
                self._by_crop(across, range(left, left + cols)),
            )
        return TokenGrid("hires", "High resolution", rows, cols, offset, pieces, newline=True)

    def _by_crop(self, axis: Axis, kept: range) -> list[Span]:
        """Spans of the patches `kept` by the unpadding; seams between crops fall between them."""
        spans: list[Span] = []
        for crop in range(kept.start // self.side, -(-kept.stop // self.side)):
            first = max(crop * self.side, kept.start)
            last = min((crop + 1) * self.side, kept.stop)
            cells = range(first - kept.start, last - kept.start)
            spans += axis.spans(cells, self._edge(first), Fraction(self.patch))
        return spans

    def _reduced(self, axis: Axis, kept: range, count: int) -> list[Span]:
        """Spans of `count` cells that share the patches `kept` evenly.

        Interpolation mixes patches across the seams of the crops, so the cells are laid evenly
        over the whole stretch; no cell is off by more than the width of one seam.
        """
        begin = self._edge(kept.start)
        end = self._edge(kept.stop - 1) + self.patch
        return axis.spans(range(count), begin, Fraction(end - begin, count))

    def _edge(self, patch: int) -> int:
        """The canvas pixel where a patch begins, patches being numbered over all crops."""
        crop, inside = divmod(patch, self.side)
        return crop * self.crop + inside * self.patch


def _fit(width: int, height: int, canvas_w: int, canvas_h: int) -> tuple[Axis, Axis]:
    """Resize into the canvas with the aspect ratio kept, then pad to the centre: down, across."""
    scale_w, scale_h = canvas_w / width, canvas_h / height
    if scale_w < scale_h:
        shown_w, shown_h = canvas_w, min(math.ceil(height * scale_w), canvas_h)
    else:
        shown_w, shown_h = min(math.ceil(width * scale_h), canvas_w), canvas_h
    return (
        Axis(height, shown_h, (canvas_h - shown_h) // 2),
        Axis(width, shown_w, (canvas_w - shown_w) // 2),
    )


def _unpadding(width: int, height: int, wide: int, tall: int) -> tuple[int, int]:
    """Patches that the model drops at the top (and bottom) and at the left (and right).

    It rounds in patches and not in pixels, so it may keep padding and may drop a little picture.
    """
    if width / height > wide / tall:
        return (tall - int(round(height * (wide / width), 7))) // 2, 0
    return 0, (wide - int(round(width * (tall / height), 7))) // 2
