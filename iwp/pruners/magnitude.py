"""Information magnitude alone: IWP without its redundancy penalty (arXiv 2604.00757, Eq. 10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from iwp.pruners.iwp import IWP
from iwp.pruners.ordered import Ordered, by_score

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class Magnitude(Ordered):
    """Keeps the tokens of highest kappa(q_T, k_i) ||v_i||, however alike they are (Table E.1)."""

    name: ClassVar[str] = "magnitude"
    paper: ClassVar[str | None] = "2604.00757"
    keeps: ClassVar[str] = (
        "the information magnitude of `iwp` alone, without its redundancy penalty"
    )

    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """See `Ordered.order`."""
        logs = IWP().log_scores(view)
        return by_score(logs, keep), logs.exp()
