"""Which visual tokens prove an answer, and the exam's oracle that keeps them first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from iwp.mmr import ranks_of
from iwp.pruners.base import LayerView, Pruner
from iwp.pruners.uniform import Uniform
from iwp.scenes.scene import Box
from iwp.types import Block, Ranking, VisualLayout

SHARE = 0.12  # a token belongs to an object that covers at least this share of its pixels


def _overlap(edges: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """Share of every interval [edges[i], edges[i + 1]] that lies in [start, end]."""
    inside = (np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)).clip(0)
    return np.asarray(inside / np.diff(edges).clip(1e-9))


def _cells(block: Block, box: Box) -> NDArray[np.float64]:
    """(rows, cols) share of every cell of the block that the box covers."""
    top, left, height, width = box
    down = _overlap(np.linspace(block.y0, block.y1, block.r1 - block.r0 + 1), top, top + height)
    across = _overlap(np.linspace(block.x0, block.x1, block.c1 - block.c0 + 1), left, left + width)
    return down[:, None] * across[None]


def evidence_tokens(
    layout: VisualLayout, frames: Sequence[Sequence[Box | None]]
) -> tuple[int, ...]:
    """Ascending numbers of the visual tokens that show any of the boxes.

    Args:
        layout: where the tokens lie.
        frames: for every frame, boxes in its pixels; None is not there. A picture is one frame.
    """
    found: set[int] = set()
    for grid in layout.grids:
        for box in filter(None, frames[grid.frame]):
            for block in grid.blocks:
                rows, cols = np.nonzero(_cells(block, box) > SHARE)
                numbers = grid.offset + (rows + block.r0) * grid.stride + cols + block.c0
                found.update(int(n) for n in numbers)
    return tuple(sorted(found))


@dataclass(frozen=True)
class Oracle(Pruner):
    """Keeps the tokens that prove the answer, then others evenly spread. For the exam alone."""

    name: ClassVar[str] = "oracle"
    evidence: tuple[int, ...] = ()

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`. Evidence comes before everything else."""
        spread = Uniform(self.budget, self.layer).rank(view).ranks
        proves = torch.zeros(view.n, dtype=torch.bool, device=spread.device)
        proves[list(self.evidence)] = True
        ranks = ranks_of(torch.argsort(spread - proves * view.n, stable=True))
        return Ranking(ranks=ranks, scores=proves.float())
