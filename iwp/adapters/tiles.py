"""Where the visual tokens lie of a picture that is stretched over a grid of square tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from iwp.adapters.geometry import Axis, Span, blocks
from iwp.types import Block, TokenGrid, VisualLayout


@dataclass(frozen=True)
class Tiles:
    """The tokens of one tile.

    Attributes:
        tile: side of a tile in pixels.
        cell: side of the square that one token sees, in pixels. Where it does not divide `tile`,
            the remaining pixels at the right and bottom of each tile belong to no token.
    """

    tile: int
    cell: int

    @property
    def side(self) -> int:
        """Tokens along one side of a tile."""
        return self.tile // self.cell

    def layout(self, width: int, height: int, rows: int, cols: int) -> VisualLayout:
        """`rows` x `cols` tiles, row by row, then the whole picture squashed into one tile.

        Without tiles (0 x 0) there is only the whole picture. The tokens of one tile follow each
        other, so in the grid "hires" the tiles are stacked: `side` rows of tokens for each.
        """
        size, tiles = self.side**2, rows * cols
        whole = tuple(self._blocks(width, height, 1, 1))
        base = TokenGrid("base", "Whole picture", self.side, self.side, tiles * size, whole)
        if not tiles:
            return VisualLayout(size, width, height, (base,))
        stack = tuple(self._blocks(width, height, rows, cols))
        hires = TokenGrid("hires", "High resolution", tiles * self.side, self.side, 0, stack)
        return VisualLayout((tiles + 1) * size, width, height, (base, hires))

    def _blocks(self, width: int, height: int, rows: int, cols: int) -> Iterator[Block]:
        top = 0
        for down in self._spans(height, rows):
            for across in self._spans(width, cols):
                for b in blocks(down, across):
                    yield Block(b.r0 + top, b.r1 + top, b.c0, b.c1, b.x0, b.y0, b.x1, b.y1)
                top += self.side

    def _spans(self, length: int, tiles: int) -> list[list[Span]]:
        """For each of the tiles in a row or column, where its tokens lie."""
        axis = Axis(length, tiles * self.tile)
        cells, step = range(self.side), Fraction(self.cell)
        return [axis.spans(cells, number * self.tile, step) for number in range(tiles)]
