"""What every frame of a video has of the visual tokens: plain numbers, for reports and pages."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iwp.types import TokenGrid, VisualLayout


def tokens_of(grid: TokenGrid) -> range:
    """Numbers of the visual tokens of a grid, row ends included."""
    return range(grid.offset, grid.offset + grid.rows * grid.stride)


def frames_of(layout: VisualLayout, n: int) -> list[range]:
    """The frames that each grid shows, by their numbers; `n` is how many the video has."""
    starts = [grid.frame for grid in layout.grids]
    return [range(a, b) for a, b in zip(starts, [*starts[1:], n], strict=True)]


def kept_per_grid(layout: VisualLayout, kept: Iterable[int]) -> list[int]:
    """How many of the kept tokens, by their numbers, lie in each grid of the layout.

    A grid is a frame, or of families that put frames together as many as these.
    """
    numbers = sorted(kept)
    return [
        bisect_left(numbers, own.stop) - bisect_left(numbers, own.start)
        for own in map(tokens_of, layout.grids)
    ]


def labels(layout: VisualLayout) -> dict[int, str]:
    """The label of the grid that each token lies in; tokens of no grid are left out."""
    return {token: grid.label for grid in layout.grids for token in tokens_of(grid)}
