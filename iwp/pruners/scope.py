"""SCOPE: salient visual tokens that cover the others (arXiv 2510.24214)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from iwp.errors import InputError
from iwp.pruners.divprune import unit_rows
from iwp.pruners.ordered import Ordered

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView

_FIRST = 8  # gains that a lazy step looks at first
_MOST = 256  # and at most at once: blocks stay in the processor's cache


@dataclass(frozen=True)
class SCOPE(Ordered):
    """Chooses one token after another: saliency^alpha times what it adds to the coverage.

    How well token i is covered is its largest cosine with a chosen token, or 0; what token j adds
    is sum_i max(0, cos(x_i, x_j) - coverage_i). Once a token adds nothing, it never will: such
    tokens, duplicates of chosen ones among them, come last in prompt order.

    The authors compare what the vision tower puts out and weigh it with the attention of its class
    token, each tile of a picture for itself. Here the features are what enters the decoder, all
    tiles are one pool, and the saliency is `Tower.saliency`. Row ends have none and come last,
    unless alpha is 0.

    Attributes:
        alpha: exponent of the saliency; 0 is coverage alone.
    """

    name: ClassVar[str] = "scope"
    paper: ClassVar[str | None] = "2510.24214"
    keeps: ClassVar[str] = (
        "tokens that the vision tower attends to and that cover the others, greedily"
    )
    own_layer: ClassVar[bool] = True
    needs_tower: ClassVar[bool] = True

    layer: int = 0
    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.alpha < math.inf:
            raise InputError(f"SCOPE's alpha is a number from 0 on, not {self.alpha!r}.")

    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """See `Ordered.order`. The scores are what tokens add while nothing is chosen."""
        weights = view.in_tower.saliency.float() ** self.alpha
        features = unit_rows(view.hidden[view.visual])
        similarity = features @ features.T
        similarity.diagonal().round_()  # exactly 1, or 0 for a zero row
        # Coverage is never negative, so negative cosines never count.
        similarity.clamp_(min=0.0, max=1.0)
        scores = weights * similarity.sum(dim=1)
        lazy = similarity.device.type == "cpu"
        return (lazy_order if lazy else full_order)(similarity, weights, keep), scores


def full_order(similarity: Tensor, weights: Tensor, keep: int) -> Tensor:
    """Greedy weighted coverage; every step looks at all gains. The host never waits.

    Ties go to the lower number.

    Args:
        similarity: (n, n) float32 symmetric, not negative.
        weights: (n,) float32, not negative.
        keep: how many, at most n.

    Returns:
        (keep,) int64 numbers in the order of their choice.
    """
    covered = torch.zeros_like(weights)
    penalty = torch.zeros_like(weights)
    order = weights.new_empty(keep, dtype=torch.int64)
    for step in range(keep):
        gains = weights * (similarity - covered).clamp_(min=0.0).sum(dim=1) + penalty
        new = gains.argmax(keepdim=True)
        order[step : step + 1] = new
        penalty.index_fill_(0, new, -torch.inf)
        covered = torch.maximum(covered, similarity.index_select(0, new)[0])
    return order


def lazy_order(similarity: Tensor, weights: Tensor, keep: int) -> Tensor:
    """`full_order` on the CPU, with few looks: coverage grows, so gains only shrink.

    The gain of an earlier step bounds the one of today. Tokens are looked at by falling bounds
    until the best gain of today is above every bound left; ties are looked at too, for the lower
    number wins. Sums run in one fixed order, so that rounding never lifts a gain above its bound.
    """
    table, factors = similarity.numpy(), weights.numpy()
    bounds, covered = np.full_like(factors, np.inf), np.zeros_like(factors)
    order: list[int] = []
    while len(order) < keep:
        by_bound = np.argsort(-bounds, kind="stable")[: len(bounds) - len(order)]
        best, at, size = -np.inf, 0, _FIRST
        while at < len(by_bound) and bounds[by_bound[at]] >= best:
            some = by_bound[at : at + size]
            bounds[some] = factors[some] * np.maximum(table[some] - covered, 0.0).sum(axis=1)
            best, at, size = max(best, bounds[some].max()), at + size, min(2 * size, _MOST)
        if best <= 0.0:  # nobody adds anything any more
            order += sorted(by_bound.tolist())[: keep - len(order)]
            break
        new = int(bounds.argmax())
        order.append(new)
        bounds[new] = -np.inf
        np.maximum(covered, table[new], out=covered)
    return torch.tensor(order, dtype=torch.int64)
