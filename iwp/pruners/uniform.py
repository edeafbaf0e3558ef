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

    Token i comes in the order of the fractional part of i times the golden section: wherever that
    order is cut off, neighbours kept are at one of three distances only.
    """

    name: ClassVar[str] = "uniform"
    keeps: ClassVar[str] = (
        "tokens spread evenly over the prompt, whatever the picture and the question"
    )

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`. Scores fall evenly with the rank."""
        # On the CPU: some devices have no float64, and float32 has too few digits for large i.
        turns = torch.arange(view.n, dtype=torch.float64) * _GOLDEN
        ranks = ranks_of(turns.frac().argsort(stable=True)).to(view.visual.device)
        return Ranking(ranks=ranks, scores=1.0 - ranks.float() / view.n)
