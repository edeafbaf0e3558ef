"""PyramidDrop: fewer visual tokens at every stage of the decoder (arXiv 2410.17247)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from iwp.budget import check_budget
from iwp.pruners.attention import last_row
from iwp.pruners.ordered import by_score
from iwp.pruners.staged import Share, Staged

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class PyramidDrop(Staged):
    """Cuts several times, each time by the attention that the layer itself would pay.

    The score is FastV's, the mean over heads of the attention of the prompt's last row, but of the
    layer that the cut comes before. Cut i = 1, 2, ... leaves int(budget^i n) of the prompt's n
    visual tokens. The paper: a budget of 0.5 before layers 8, 16 and 24 of 32, quarters of the
    depth. Tokens keep their positions; the authors' code numbers them anew in every layer.
    """

    name: ClassVar[str] = "pyramiddrop"
    paper: ClassVar[str | None] = "2410.17247"
    keeps: ClassVar[str] = "what the last row attends to, fewer at each of three layers"
    budget_is: ClassVar[str] = "the fraction that each cut leaves of what reached it"

    layer: int = 8
    later: tuple[int, ...] = (16, 24)

    @classmethod
    def suited(cls, layers: int, recommended: Mapping[str, Any]) -> dict[str, Any]:
        """See `Pruner.suited`: quarters of the depth."""
        first, *later = (layers * quarter // 4 for quarter in (1, 2, 3))
        return {**super().suited(layers, recommended), "layer": first, "later": tuple(later)}

    @property
    def cuts(self) -> tuple[Share, ...]:
        """See `Pruner.cuts`."""
        budget = check_budget(self.budget)
        return tuple(
            Attended(budget, layer, self.separators, share=budget**number)
            for number, layer in enumerate((self.layer, *self.later), start=1)
        )


@dataclass(frozen=True)
class Attended(Share):
    """Keeps what the prompt's last row attends to in the layer that the cut comes before."""

    name: ClassVar[str] = "pyramiddrop, one cut"

    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """See `Ordered.order`. The scores are attention weights."""
        logs = last_row(view)
        return by_score(logs, keep), logs.exp()
