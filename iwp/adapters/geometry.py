"""Even rows and columns of tokens on a canvas, placed on the picture that it was made from.

Lengths along a canvas (the resized, padded or cropped picture that is cut into patches) are whole
pixels or fractions, so every comparison here is exact; only the final coordinates on the picture
are floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from iwp.types import Block


class Span(NamedTuple):
    """Cells i0..i1-1 of a row or column of tokens evenly cover p0..p1 of the picture."""

    i0: int
    i1: int
    p0: float
    p1: float


@dataclass(frozen=True)
class Axis:
    """One side of the canvas, the pixels that are cut into patches.

    Attributes:
        source: length of the picture.
        shown: length of the resized picture, in canvas pixels.
        pad: where on the canvas it begins; negative where a crop takes its middle.
    """

    source: int
    shown: int | Fraction
    pad: int | Fraction = 0

    def spans(self, cells: range, start: int, step: Fraction) -> list[Span]:
        """Place evenly spaced cells, the first at canvas pixel `start`, on the picture.

        A cell cut by the picture's edge is a span of its own, so that spans stay even. A cell
        that lies in the padding alone has no place on the picture and no span.
        """
        low, high = Fraction(self.pad), Fraction(self.pad + self.shown)
        found: list[tuple[int, int, Fraction, Fraction]] = []
        joinable = False
        for number, cell in enumerate(cells):
            begin = max(start + number * step, low)
            end = min(start + (number + 1) * step, high)
            if begin >= end:
                continue
            whole = end - begin == step
            if whole and joinable:
                found[-1] = (found[-1][0], cell + 1, found[-1][2], end)
            else:
                found.append((cell, cell + 1, begin, end))
            joinable = whole
        return [Span(i0, i1, self._place(p0), self._place(p1)) for i0, i1, p0, p1 in found]

    def _place(self, canvas: Fraction) -> float:
        return float((canvas - self.pad) * self.source / self.shown)


def blocks(down: Sequence[Span], across: Sequence[Span]) -> tuple[Block, ...]:
    """Every span down crossed with every span across."""
    return tuple(
        Block(row.i0, row.i1, col.i0, col.i1, col.p0, row.p0, col.p1, row.p1)
        for row in down
        for col in across
    )
