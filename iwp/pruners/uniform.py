"""Uniform pruning: visual tokens at even distances, whatever they show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from iwp.mmr import ranks_of
from iwp.pruners.base import Pruner
from iwp.types import Ranking

if TYPE_CHECKING:
    from iwp.pruners.base import LayerView

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True)
class Uniform(Pruner):
    """Keeps visual tokens spread evenly over the token numbers, nested over all budgets.

    Steps of about the golden section of n, taken modulo n, visit every token once, and the tokens
    visited first are spread evenly wherever the walk stops.
    """

    name: ClassVar[str] = "uniform"

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`. Scores fall evenly with the rank."""
        n = view.n
        order = torch.arange(n, device=view.visual.device) * golden_step(n) % n
        ranks = ranks_of(order)
        return Ranking(ranks=ranks, scores=1.0 - ranks.float() / n)


def golden_step(n: int) -> int:
    """The integer nearest to the golden section of `n` that shares no factor with it."""
    middle = round(n * _GOLDEN)
    for distance in range(n):
        for step in (middle - distance, middle + distance):
            if step > 0 and math.gcd(step, n) == 1:
                return step
    return 1
