"""Methods that choose one visual token after another, with or without the row ends of a picture."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from iwp.budget import check_budget, keep_count
from iwp.errors import InputError
from iwp.mmr import ranks_of
from iwp.pruners.base import LayerView, Pruner
from iwp.types import Ranking, Tower

if TYPE_CHECKING:
    from torch import Tensor

SEPARATORS = ("prunable", "kept")
"""The values of `Ordered.separators`."""


@dataclass(frozen=True)
class Ordered(Pruner):
    """A method that chooses in an order. All pictures of a prompt are one pool.

    Attributes:
        separators: tokens that only end a row of a picture. "prunable": they are tokens like
            others; "kept": they come first, count, and the method sees the other tokens only.
    """

    separators: str = "prunable"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_separators(self)

    @abstractmethod
    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """The first tokens in the order in which they are chosen.

        Args:
            view: the layer and the prompt.
            keep: how many, 0 <= keep <= n.

        Returns:
            (keep,) int64 numbers of visual tokens; a smaller `keep` gives a prefix, and (n,)
            float32 scores before any penalty for redundancy. A method that is not `nested` may
            give another number of tokens, and others.
        """

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`. What a method that is not nested drops comes last, in prompt order."""
        if self.nested:
            order, scores = self._whole(view, view.n)
        else:
            keep = keep_count(view.n, check_budget(self.budget))
            order, scores = self._whole(view, keep)
            left = torch.ones_like(view.visual).index_fill_(0, order, 0)
            order = torch.cat((order, by_score(left, view.n - len(order))))
        return Ranking(ranks=ranks_of(order), scores=scores)

    def select(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor | None]:
        """See `Pruner.select`. Stops as soon as `keep` tokens are chosen."""
        order, scores = self._whole(view, keep)
        return order.sort().values, scores

    def _whole(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        first = view.separators
        if self.separators == "prunable" or first is None:
            return self.order(view, keep)
        is_first = torch.zeros(view.n, dtype=torch.uint8, device=first.device)
        others = is_first.index_fill_(0, first, 1).argsort(stable=True)[: view.n - len(first)]
        if not len(others):
            return first[:keep], torch.ones(view.n, device=first.device)
        rest, own = self.order(_only(view, others), max(0, keep - len(first)))
        scores = own.max().expand(view.n).clone().index_copy_(0, others, own)
        return torch.cat((first[:keep], others[rest])), scores


def check_separators(method: Any) -> None:
    """Refuse a method whose option `separators` has a value that is not available.

    Raises:
        InputError: it has.
    """
    if method.separators not in SEPARATORS:
        raise InputError(
            f"The separators of {type(method).__name__} are one of {', '.join(SEPARATORS)}, not "
            f"{method.separators!r}."
        )


def by_score(scores: Tensor, keep: int) -> Tensor:
    """(keep,) numbers of the highest scores (n,), highest first; ties go to the lower number."""
    return scores.argsort(descending=True, stable=True)[:keep]


def _only(view: LayerView, numbers: Tensor) -> LayerView:
    """The view without the visual tokens that are not among `numbers` (m,)."""
    previous = None if view.previous is None else _only(view.previous, numbers)
    tower = view.tower
    if tower is not None:
        tower = Tower(tower.saliency[numbers], tower.keys[numbers])
    visual = view.visual[numbers]
    return replace(view, visual=visual, separators=None, previous=previous, tower=tower)
