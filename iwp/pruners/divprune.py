"""DivPrune: visual tokens that are far from each other (arXiv 2503.02175)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from iwp.pruners.ordered import Ordered

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class DivPrune(Ordered):
    """The max-min diversity problem, solved greedily, whatever the question.

    The first token is the one whose nearest neighbour is farthest; each next one is farthest from
    its nearest chosen one, in cosine distance. The paper cuts what enters the decoder, layer 0.
    Before a later layer, the rows of its input are compared.
    """

    name: ClassVar[str] = "divprune"
    paper: ClassVar[str | None] = "2503.02175"
    keeps: ClassVar[str] = "tokens far from each other, greedily"
    own_layer: ClassVar[bool] = True

    layer: int = 0

    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """See `Ordered.order`. The scores are the distances to the nearest neighbour."""
        return max_min_order(cosine_distances(view.hidden[view.visual]), keep)


def cosine_distances(x: Tensor) -> Tensor:
    """(n, D) -> (n, n) float32 1 - cos(x_i, x_j). A zero row is like no other."""
    unit = unit_rows(x)
    return (unit @ unit.T).neg_().add_(1.0)


def unit_rows(x: Tensor) -> Tensor:
    """(n, D) -> (n, D) float32 rows of length 1; zero rows stay zero."""
    x = x.float()
    unit: Tensor = x / x.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    return unit


def max_min_order(distances: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Farthest-point order over a table of distances (n, n); the diagonal is not looked at.

    Chosen tokens are masked, so that duplicates are never chosen twice. The host never waits for
    the device. Ties go to the lower number.

    Returns:
        (keep,) int64 numbers in the order of their choice, and (n,) the distance of every token
        to its nearest neighbour; 0 for a token that is alone.
    """
    n = distances.shape[0]
    alone = torch.eye(n, dtype=torch.bool, device=distances.device)
    others = distances.masked_fill(alone, torch.inf)
    # Over rows and columns: rounding must not tell two tokens apart that are nearest to each other.
    nearest = torch.minimum(others.amin(dim=0), others.amin(dim=1))
    order = distances.new_empty(keep, dtype=torch.int64)
    left = nearest
    for step in range(keep):
        new = left.argmax(keepdim=True)
        order[step : step + 1] = new
        reach = distances.index_select(0, new)[0]
        left = torch.minimum(left, reach) if step else reach
        left.index_fill_(0, new, -torch.inf)
    return order, nearest.nan_to_num(posinf=0.0)
