"""Random pruning: the baseline that every method has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from iwp.mmr import ranks_of
from iwp.pruners.base import Pruner
from iwp.types import Ranking

if TYPE_CHECKING:
    from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class Random(Pruner):
    """Keeps visual tokens at random. The same seed and number of tokens give the same order.

    Attributes:
        seed: of the permutation.
    """

    name: ClassVar[str] = "random"
    keeps: ClassVar[str] = "a seeded random draw: the yardstick that any method has to beat"

    seed: int = 0

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`. Scores fall evenly with the rank."""
        generator = torch.Generator().manual_seed(self.seed)
        ranks = ranks_of(torch.randperm(view.n, generator=generator)).to(view.visual.device)
        return Ranking(ranks=ranks, scores=1.0 - ranks.float() / view.n)
