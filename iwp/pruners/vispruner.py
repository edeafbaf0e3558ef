"""VisPruner: salient visual tokens, and of the others those without a double (arXiv 2412.01818)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from iwp.errors import InputError
from iwp.pruners.divprune import unit_rows
from iwp.pruners.ordered import Ordered, by_score

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView

REMOVED = 8
"""Tokens that a round removes, at most."""

_NEAREST = 32  # most similar tokens of each that are remembered on the CPU
_SHRUNK = 0.6  # they are looked up again when so many of the tokens are left


@dataclass(frozen=True)
class VisPruner(Ordered):
    """A share of the budget for the tokens of highest saliency, the rest for distinct ones.

    Those not chosen by saliency stand in a list, the most salient first. In every round its even
    places are compared with its odd ones: the 8 tokens of even places that are most similar to one
    of the odd places go; the others of even places follow each other by falling similarity, then
    those of odd places as they were. With an odd number there is one more even place. The authors'
    code stops with an error there.

    The authors compare what the vision tower puts out and take the attention of its class token,
    each tile of a picture for itself. Here the features are what enters the decoder, all tiles are
    one pool, and the saliency is `Tower.saliency`. Row ends have none: they stand at the end of the
    list, and as they are all alike, few of them stay.

    Another budget has another list, so selections are not nested. `rank` puts what is kept at the
    method's own budget first, by falling saliency.

    Attributes:
        important: the share of the kept tokens that saliency alone decides, rounded down.
    """

    name: ClassVar[str] = "vispruner"
    paper: ClassVar[str | None] = "2412.01818"
    keeps: ClassVar[str] = "half by the vision tower's attention, half without doubles"
    own_layer: ClassVar[bool] = True
    needs_tower: ClassVar[bool] = True
    nested: ClassVar[bool] = False

    layer: int = 0
    important: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.important <= 1.0:
            raise InputError(
                f"VisPruner's share of important tokens is from 0 to 1, not {self.important!r}."
            )

    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """See `Ordered.order`. The scores are the saliency."""
        saliency = view.in_tower.saliency.float()
        important, others = by_score(saliency, view.n).tensor_split([int(keep * self.important)])
        features = unit_rows(view.hidden[view.visual[others]])
        similarity = features @ features.T
        on_cpu = similarity.device.type == "cpu"
        left = (distinct_by_lists if on_cpu else distinct)(similarity, keep - len(important))
        return torch.cat((important, others[left.sort().values])), saliency


def distinct(similarity: Tensor, keep: int) -> Tensor:
    """Remove doubles in rounds of 8, even places against odd ones. The host never waits.

    Ties remove what comes first in the list.

    Args:
        similarity: (n, n) float32 of the list's tokens.
        keep: how many, at most n.

    Returns:
        (keep,) int64 places of the first list, as the last list has them.
    """
    left = torch.arange(similarity.shape[0], device=similarity.device)[: None if keep else 0]
    while len(left) > keep:
        even, odd = left[::2], left[1::2]
        nearest = similarity[even[:, None], odd].amax(dim=1)
        order = nearest.argsort(descending=True, stable=True)
        left = torch.cat((even[order[min(REMOVED, len(left) - keep) :]], odd))
    return left


def distinct_by_lists(similarity: Tensor, keep: int) -> Tensor:
    """`distinct` on the CPU, without reading a quarter of the table in every round.

    Of every token, the most similar ones are remembered, nearest first. The first of them that has
    an odd place is the most similar of all odd places; a row is read where there is none.
    """
    table = similarity.numpy()
    left = np.arange(len(table) if keep else 0)
    known = 2 * len(left)
    while len(left) > keep:
        if len(left) < _SHRUNK * known:
            known = len(left)
            near, how_near = _nearest(table, left)
        even, odd = left[::2], left[1::2]
        is_odd = np.zeros(len(table), np.bool_)
        is_odd[odd] = True
        found = is_odd[near[even]]
        first = found.argmax(axis=1)
        nearest = how_near[even, first]
        lost = np.flatnonzero(~found[np.arange(len(even)), first])
        if len(lost):
            nearest[lost] = table[np.ix_(even[lost], odd)].max(axis=1)
        order = np.argsort(-nearest, kind="stable")
        left = np.concatenate((even[order[min(REMOVED, len(left) - keep) :]], odd))
    return torch.from_numpy(left)


def _nearest(table: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each token of the list (m,) the most similar ones of it, nearest first, and how near.

    Both are (n, k); rows of tokens that are not in the list are not set.
    """
    of_list = torch.from_numpy(table[np.ix_(left, left)])
    values, places = of_list.topk(min(_NEAREST, len(left)), dim=1)
    near = np.zeros((len(table), values.shape[1]), np.int64)
    how_near = np.zeros(near.shape, np.float32)
    near[left], how_near[left] = left[places.numpy()], values.numpy()
    return near, how_near
