"""Kept and dropped visual tokens painted on the picture. Pure: numbers in, pixels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from iwp.types import Media, TokenGrid, VisualLayout

Mode = Literal["mask", "heat", "outline", "kept-heat"]
Palette = Literal["viridis", "cividis"]
Pixels: TypeAlias = NDArray[np.uint8]
Tokens: TypeAlias = NDArray[np.int32]

NO_TOKEN = -1
# Where two methods differ: apart for every kind of colour vision, and in grey (Okabe and Ito).
ONLY_LEFT = (213, 94, 0)
ONLY_RIGHT = (86, 180, 233)
_SHADE = np.array([10, 12, 20], dtype=np.uint8)
_LINE = np.array([255, 213, 74], dtype=np.uint8)
_TINT = 0.6  # how much of the colour lies over a token that one method keeps
_GAP = 8  # pixels between pictures
_OUTLINE_DIM = 0.7  # lighter under an outline, which tells the tokens already
_HEAT = 0.6  # how much of the colour lies over a token in a heat map
_MAPS: dict[Palette, int] = {"viridis": cv2.COLORMAP_VIRIDIS, "cividis": cv2.COLORMAP_CIVIDIS}
_LINE_SHARE = 500  # the longer side is this many outlines wide


@dataclass(frozen=True)
class Look:
    """What a person may choose about an overlay.

    Attributes:
        dim: how much of the shade lies over dropped tokens, from 0 to 1.
        palette: the colours of a heat map; both can be read with any kind of colour vision.
    """

    dim: float = 0.78
    palette: Palette = "viridis"


USUAL: Final = Look()


def render(
    media: Media,
    layout: VisualLayout,
    ranks: Tensor | NDArray[np.int64] | Sequence[int],
    keep: int,
    mode: Mode = "mask",
    grid: str = "hires",
) -> Image.Image:
    """Paint one grid of tokens on its frame, at the frame's own size.

    Args:
        media: the picture that the layout was made for.
        layout: where the tokens lie.
        ranks: (n,) rank of every visual token; tokens with `rank < keep` are kept.
        keep: how many tokens are kept.
        mode: "mask" darkens what is dropped, "outline" also draws a line around what is kept,
            "heat" colours every token by its rank, from yellow (first) to violet (last),
            "kept-heat" what is kept, and darkens what is dropped.
        grid: id of the grid; a layout that lacks it shows its first grid.

    Returns:
        An RGB picture. Pixels that belong to no token are painted as dropped.
    """
    rank = np.asarray(ranks, dtype=np.int32)
    assert rank.shape == (layout.n,)
    return Image.fromarray(paint(*_shown(media, layout, grid), rank, keep, mode))


def paint(
    picture: Pixels, tokens: Tokens, rank: Tokens, keep: int, mode: Mode, look: Look = USUAL
) -> Pixels:
    """`render` on arrays.

    Args:
        picture: (height, width, 3).
        tokens: (height, width), see `token_of_pixel`.
        rank: (n,) rank of every visual token.
        keep: how many tokens are kept.
        mode: see `render`.
        look: how it looks.

    Returns:
        (height, width, 3).
    """
    if mode == "heat":
        return _heat(picture, tokens, rank / max(len(rank) - 1, 1), look)
    kept = (tokens != NO_TOKEN) & (rank[tokens] < keep)
    if mode == "kept-heat":
        late = np.sqrt(rank / len(rank))  # as the page spreads them
        coloured = _heat(picture, tokens, late, look)
        return np.where(kept[..., None], coloured, _lit(picture, kept, look.dim))
    if mode == "mask":
        return _lit(picture, kept, look.dim)
    painted = _lit(picture, kept, look.dim * _OUTLINE_DIM)
    painted[_edge(kept)] = _LINE
    return painted


def difference(
    media: Media,
    layout: VisualLayout,
    left: Sequence[int],
    right: Sequence[int],
    grid: str = "hires",
) -> Image.Image:
    """Paint where two methods differ: what both keep is as it is, what neither keeps dark.

    What one keeps alone has its colour, `ONLY_LEFT` or `ONLY_RIGHT`.

    Args:
        media: the picture that the layout was made for.
        layout: where the tokens lie.
        left: numbers of the visual tokens that the left side keeps.
        right: of those that the right side keeps.
        grid: see `render`.
    """
    both = (np.isin(np.arange(layout.n), kept) for kept in (left, right))
    return Image.fromarray(paint_difference(*_shown(media, layout, grid), *both))


def paint_difference(
    picture: Pixels,
    tokens: Tokens,
    left: NDArray[np.bool_],
    right: NDArray[np.bool_],
    *,
    look: Look = USUAL,
) -> Pixels:
    """`difference` on arrays.

    Args:
        picture: (height, width, 3).
        tokens: (height, width), see `token_of_pixel`.
        left: (n,) whether the left side keeps each token.
        right: the same of the right side.
        look: how it looks.

    Returns:
        (height, width, 3).
    """
    on_left, on_right = ((tokens != NO_TOKEN) & kept[tokens] for kept in (left, right))
    painted = _lit(picture, on_left & on_right, look.dim)
    for alone, colour in ((on_left & ~on_right, ONLY_LEFT), (on_right & ~on_left, ONLY_RIGHT)):
        tinted = _blend(picture, np.array(colour, dtype=np.uint8), _TINT)
        cv2.copyTo(tinted, alone.view(np.uint8), painted)
    return painted


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """The pictures, all of one height, in a row with white gaps."""
    height = pictures[0].height
    width = sum(picture.width + _GAP for picture in pictures) - _GAP
    row, x = Image.new("RGB", (width, height), "white"), 0
    for picture in pictures:
        row.paste(picture, (x, 0))
        x += picture.width + _GAP
    return row


def kept_first(ranks: Sequence[int], kept: Sequence[int]) -> list[int]:
    """Ranks under which exactly the `kept` tokens come first, in their old order otherwise.

    The same ranks for a method whose budgets are nested; for others what `render` needs.
    """
    stays = set(kept)
    order = sorted(range(len(ranks)), key=lambda token: (token not in stays, ranks[token]))
    found = [0] * len(ranks)
    for rank, token in enumerate(order):
        found[token] = rank
    return found


def _shown(media: Media, layout: VisualLayout, grid: str) -> tuple[Pixels, Tokens]:
    """The frame of a grid, and the token of every pixel of it."""
    assert media.size == (layout.width, layout.height)
    shown = next((g for g in layout.grids if g.id == grid), layout.grids[0])
    return np.asarray(media.frames[shown.frame]), token_of_pixel(layout, shown)


def token_of_pixel(layout: VisualLayout, grid: TokenGrid) -> Tokens:
    """(height, width) number of the visual token that holds each pixel's centre, or NO_TOKEN."""
    tokens = np.full((layout.height, layout.width), NO_TOKEN, dtype=np.int32)
    for block in grid.blocks:
        ys, rows = _cells(block.y0, block.y1, block.r0, block.r1, layout.height)
        xs, cols = _cells(block.x0, block.x1, block.c0, block.c1, layout.width)
        tokens[ys, xs] = grid.offset + rows[:, None] * grid.stride + cols[None, :]
    return tokens


def _cells(start: float, end: float, first: int, stop: int, length: int) -> tuple[slice, Tokens]:
    """The pixels whose centres lie in [start, end), and the row or column that each is in."""
    centres = np.arange(length) + 0.5
    begin, after = np.searchsorted(centres, [start, end])
    edges = np.linspace(start, end, stop - first + 1)[1:-1]
    cells = first + np.searchsorted(edges, centres[begin:after], side="right")
    return slice(int(begin), int(after)), cells.astype(np.int32)


def _blend(picture: Pixels, colour: Pixels, share: float) -> Pixels:
    """`share` of the colours, the rest of the picture; colours are (3,) or one for each pixel."""
    over = np.broadcast_to(colour, picture.shape)
    return np.asarray(cv2.addWeighted(picture, 1 - share, over, share, 0), dtype=np.uint8)


def _lit(picture: Pixels, kept: NDArray[np.bool_], dim: float) -> Pixels:
    """The picture where tokens are kept, in the shade elsewhere."""
    greys = np.arange(256, dtype=np.uint8)[:, None]
    shades = _blend(np.repeat(greys, 3, axis=1)[None], _SHADE, dim)
    painted = np.asarray(cv2.LUT(picture, shades), dtype=np.uint8)
    cv2.copyTo(picture, kept.view(np.uint8), painted)
    return painted


def _heat(picture: Pixels, tokens: Tokens, late: NDArray[np.float64], look: Look) -> Pixels:
    """Every token coloured; `late` is 0 for the first of them and 1 for the last."""
    levels = np.rint(255 * (1 - late)).astype(np.uint8)
    colours = np.asarray(cv2.applyColorMap(levels[:, None], _MAPS[look.palette]), dtype=np.uint8)
    coloured = _blend(picture, colours[:, 0, ::-1][tokens], _HEAT)  # OpenCV gives BGR
    shaded = _blend(picture, _SHADE, look.dim)
    return np.where((tokens == NO_TOKEN)[..., None], shaded, coloured)


def _edge(kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The rim of the kept areas, drawn inside them; the picture's border counts as a rim."""
    width = max(1, round(max(kept.shape) / _LINE_SHARE))
    inner = cv2.erode(
        kept.astype(np.uint8),
        np.ones((3, 3), np.uint8),
        iterations=width,
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    rim: NDArray[np.bool_] = kept & (inner == 0)
    return rim
