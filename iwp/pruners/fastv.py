"""FastV: visual tokens by the attention of the prompt's last row (arXiv 2403.06764)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from iwp.pruners.attention import last_row
from iwp.pruners.ordered import Ordered, by_score

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class FastV(Ordered):
    """Cuts before layer K by the attention map of layer K - 1.

    The score of a token is the mean over heads of the attention that the last row of the prompt
    pays to it: what the authors' code does, where the text of the paper averages over all rows.
    The attention is normalised over the whole prompt. The paper's K is 2.
    """

    name: ClassVar[str] = "fastv"
    paper: ClassVar[str | None] = "2403.06764"
    keeps: ClassVar[str] = "what the last row of the prompt attends to in the layer before the cut"
    own_layer: ClassVar[bool] = True
    looks_back: ClassVar[bool] = True

    layer: int = 2

    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """See `Ordered.order`. The scores are attention weights."""
        logs = last_row(view.before).to(view.visual.device)  # layers may lie on several devices
        return by_score(logs, keep), logs.exp()
