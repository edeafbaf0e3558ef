"""Grids of visual tokens and orders of them, made up for tests of the page."""

from __future__ import annotations

import torch

from iwp.types import Block, Ranking, TokenGrid, VisualLayout

SIDE = 27
FRAME_SIDE = 7
TWIN = 2
"""How many tokens further the nearest duplicate is."""


def two_grids(width: int, height: int, crops: int = 3) -> VisualLayout:
    """A base grid and `crops` x `crops` crops with row ends and seams, as LLaVA-OneVision has."""
    base = TokenGrid(
        "base", "Base", SIDE, SIDE, 0, (Block(0, SIDE, 0, SIDE, 0.0, 0.0, width, height),)
    )
    step_x, step_y = width / crops, height / crops
    blocks = tuple(
        Block(
            *(row * SIDE, (row + 1) * SIDE, col * SIDE, (col + 1) * SIDE),
            *(col * step_x, row * step_y, (col + 0.985) * step_x, (row + 0.985) * step_y),
        )
        for row in range(crops)
        for col in range(crops)
    )
    side = SIDE * crops
    fine = TokenGrid("fine", "High-res", side, side, SIDE * SIDE, blocks, newline=True)
    return VisualLayout(SIDE * SIDE + side * (side + 1), width, height, (base, fine))


def frame_grids(width: int, height: int, frames: int, together: int = 1) -> VisualLayout:
    """A grid for every frame of a video and a token that ends it, as LLaVA-OneVision has.

    With `together` above 1 so many frames have one grid, as Qwen2-VL's pairs.
    """
    whole = Block(0, FRAME_SIDE, 0, FRAME_SIDE, 0.0, 0.0, width, height)
    firsts = range(0, frames, together)
    grids = tuple(
        TokenGrid(
            *(f"frame{first}", _named(first + 1, min(first + together, frames))),
            *(FRAME_SIDE, FRAME_SIDE, i * FRAME_SIDE**2, (whole,)),
            frame=first,
        )
        for i, first in enumerate(firsts)
    )
    return VisualLayout(len(firsts) * FRAME_SIDE**2 + 1, width, height, grids)


def _named(first: int, last: int) -> str:
    return f"Frame {first}" if first == last else f"Frames {first} to {last}"


def centre_first(layout: VisualLayout, seed: int = 0) -> Ranking:
    """Ranks from the middle of the picture outwards, with a little noise by `seed`."""
    noise = torch.Generator().manual_seed(seed)
    scores = torch.zeros(layout.n)
    for grid in layout.grids:
        rows = torch.linspace(-1, 1, grid.rows)[:, None]
        cols = torch.linspace(-1, 1, grid.stride)[None, :]
        bump = torch.exp(-2 * (rows**2 + cols**2)).flatten()
        end = grid.offset + bump.numel()
        scores[grid.offset : end] = bump + 0.25 * torch.rand(bump.shape, generator=noise)
    order = torch.argsort(scores, descending=True, stable=True)
    ranks = torch.empty(layout.n, dtype=torch.int64)
    ranks[order] = torch.arange(layout.n)
    kept = torch.linspace(0.0, 1.0, layout.n + 1).sqrt()
    twins = torch.arange(layout.n).roll(-TWIN)  # the last ones have none in their own grid
    return Ranking(ranks, scores, weight_errors=1.0 - kept, twins=twins)
