"""Pictures that show where on them a token was taken from, and what a layout says about it."""

from __future__ import annotations

import numpy as np

from iwp.types import VisualLayout


def ramps(width: int, height: int) -> np.ndarray:
    """(height, width, 3) floats: red is the x of a pixel's centre, green its y, blue is 1."""
    picture = np.ones((height, width, 3), dtype=np.float32)
    picture[..., 0] = (np.arange(width) + 0.5)[None, :]
    picture[..., 1] = (np.arange(height) + 0.5)[:, None]
    return picture


def places(layout: VisualLayout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per token, by the layout: its rectangle (n, 4) or NaN, if it ends a row, its grid."""
    boxes = np.full((layout.n, 4), np.nan)
    newline = np.zeros(layout.n, dtype=bool)
    grid_of = np.full(layout.n, -1)
    for index, grid in enumerate(layout.grids):
        for row in range(grid.rows):
            begin = grid.offset + row * grid.stride
            assert (grid_of[begin : begin + grid.stride] == -1).all(), "two places for one token"
            grid_of[begin : begin + grid.stride] = index
            newline[begin + grid.cols : begin + grid.stride] = True
        for b in grid.blocks:
            xs = np.linspace(b.x0, b.x1, b.c1 - b.c0 + 1)
            ys = np.linspace(b.y0, b.y1, b.r1 - b.r0 + 1)
            for i, row in enumerate(range(b.r0, b.r1)):
                for j, col in enumerate(range(b.c0, b.c1)):
                    token = grid.offset + row * grid.stride + col
                    assert np.isnan(boxes[token, 0]), "two blocks for one token"
                    boxes[token] = xs[j], ys[i], xs[j + 1], ys[i + 1]
    return boxes, newline, grid_of


def inside(boxes: np.ndarray, width: int, height: int, margin: np.ndarray) -> np.ndarray:
    """Which boxes (n, 4) are at least `margin` (2,) pixels away from the picture's border."""
    return (
        (boxes[:, 0] >= margin[0])
        & (boxes[:, 1] >= margin[1])
        & (boxes[:, 2] <= width - margin[0])
        & (boxes[:, 3] <= height - margin[1])
    )
