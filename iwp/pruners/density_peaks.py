"""Clusters around points that are dense and far from denser ones (DPC-kNN)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from iwp.pruners.ordered import by_score

if TYPE_CHECKING:
    from torch import Tensor


def density_peaks(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Clusters by DPC-kNN: centres are dense, and far from anything denser.

    With distances L2 / sqrt D, the density is exp(-mean squared distance to the `count` nearest,
    itself included); it is compared and multiplied in logarithms, where it does not underflow.
    Ties go to the lower number.

    Args:
        x: (m, D) float32.
        count: how many clusters, 1 <= count <= m.

    Returns:
        (count,) int64 ascending numbers of the centres, and (m,) int64 the centre of every token.
    """
    x = x - x[:1]  # products of long rows that lie close together have few digits
    lengths = x.square().sum(dim=1)
    squares = (lengths[:, None] + lengths - 2.0 * x @ x.T).clamp_(min=0.0) / x.shape[1]
    squares.fill_diagonal_(0.0)
    density = -squares.topk(count, largest=False).values.mean(dim=1)
    number = torch.arange(len(x), device=x.device)
    above, equal = density > density[:, None], density == density[:, None]
    denser = above | (equal & (number < number[:, None]))
    apart = squares.sqrt()
    reach = torch.where(denser, apart, apart.max()).amin(dim=1)
    centres = by_score(reach.log() + density, count).sort().values
    label = centres[apart[:, centres].argmin(dim=1)]
    return centres, label.index_copy_(0, centres, centres)
