"""Methods that put visual tokens together, and what they have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from iwp.budget import check_budget, keep_count
from iwp.mmr import ranks_of
from iwp.pruners.base import Choice, Pruner
from iwp.pruners.ordered import by_score, check_separators
from iwp.types import Ranking

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class Merging(Pruner):
    """A method that leaves fewer tokens, which stand for others too. All pictures are one pool.

    Attributes:
        separators: tokens that only end a row of a picture. "prunable": they are tokens like
            others; "kept": they are kept as they are and count, and the method leaves the rest of
            the budget of the other tokens.
    """

    merges: ClassVar[bool] = True
    nested: ClassVar[bool] = False

    separators: str = "prunable"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_separators(self)

    @abstractmethod
    def reduced(self, view: LayerView, pool: Tensor, keep: int) -> Choice:
        """What is left of some visual tokens.

        Args:
            view: the layer and the prompt.
            pool: (m,) int64 ascending numbers of the visual tokens that may be touched, m >= 1.
            keep: how many of them to leave, 1 <= keep <= m.

        Returns:
            A choice in which every number is a place in `pool`, with `scores` (m,) and `into`.
        """

    def choose(self, view: LayerView) -> Choice:
        """See `Pruner.choose`."""
        keep = keep_count(view.n, check_budget(self.budget))
        if keep == view.n:
            return Choice(torch.arange(view.n, device=view.visual.device))
        return self._whole(view, keep)

    def select(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor | None]:
        """See `Pruner.select`: the tokens that stay in their places."""
        choice = self._whole(view, keep)
        return choice.kept, choice.scores

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`."""
        return ranking_of(self._whole(view, keep_count(view.n, check_budget(self.budget))))

    def _whole(self, view: LayerView, keep: int) -> Choice:
        every, first = torch.arange(view.n, device=view.visual.device), view.separators
        if self.separators == "prunable" or first is None or not len(first):
            return self.reduced(view, every, keep)
        is_first = torch.zeros_like(every).index_fill_(0, first, 1)
        others = is_first.argsort(stable=True)[: view.n - len(first)]
        if keep <= len(first) or not len(others):
            kept, scores = first[:keep], is_first.float()
            return Choice(kept, scores, into=torch.full_like(every, -1).index_copy_(0, kept, kept))
        inner = self.reduced(view, others, keep - len(first))
        assert inner.scores is not None
        assert inner.into is not None
        kept, order = torch.cat((first, others[inner.kept])).sort()
        goes = torch.where(inner.into < 0, -1, others[inner.into])
        rows, sizes = inner.rows, inner.sizes
        if rows is not None:
            rows = torch.cat((view.hidden[view.visual[first]].float(), rows))[order]
        if sizes is not None:
            sizes = torch.cat((sizes.new_ones(len(first)), sizes))[order]
        scores = inner.scores.max().expand(view.n).clone()
        scores.index_copy_(0, others, inner.scores)
        return Choice(kept, scores, rows, sizes, every.index_copy(0, others, goes))


def ranking_of(choice: Choice) -> Ranking:
    """A choice as a ranking: what is kept, what went into that, and then what is dropped.

    Within each of the three the highest scores come first. `scores` and `into` have to be there.
    """
    assert choice.scores is not None
    assert choice.into is not None
    kind = (choice.into >= 0).long().index_fill_(0, choice.kept, 2)
    order = by_score(choice.scores, len(kind))
    order = order[by_score(kind[order], len(kind))]
    return Ranking(ranks=ranks_of(order), scores=choice.scores)


def means(rows: Tensor, into: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """What the tokens that are kept become: the mean of all that went into each.

    Args:
        rows: (n, D) the tokens.
        into: (n,) int64 numbers of the tokens that they go into, -1 for none.
        kept: (m,) int64 numbers of the tokens that are kept; each goes into itself.

    Returns:
        (m, D) float32 means, and (m,) float32 how many tokens each is the mean of.
    """
    count = len(kept)
    places = torch.arange(count, device=kept.device)
    # The last entry is where -1 points to.
    place = kept.new_full((len(rows) + 1,), count).index_copy_(0, kept, places)[into]
    sizes = counts(rows.new_ones(len(rows), dtype=torch.float32), place, count)
    return sums(rows.float(), place, count) / sizes[:, None], sizes


def sums(rows: Tensor, place: Tensor, count: int) -> Tensor:
    """The sums of rows that have the same place, in the same order of addition every time.

    Args:
        rows: (n, D) float32.
        place: (n,) int64 from 0 to `count`; rows at `count` are in no sum.
        count: how many sums.

    Returns:
        (count, D) float32.
    """
    if rows.device.type == "cpu":
        return rows.new_zeros(count + 1, rows.shape[1]).index_add_(0, place, rows)[:count]
    return by_product(rows, place, count)


def by_product(rows: Tensor, place: Tensor, count: int) -> Tensor:
    """`sums` as a product of matrices: sums by index have no fixed order on other devices."""
    places = torch.arange(count, device=place.device)
    return (place == places[:, None]).float() @ rows


def counts(sizes: Tensor, place: Tensor, count: int) -> Tensor:
    """`sums` of whole numbers (n,) float32, which are exact in any order: (count,) float32."""
    return sizes.new_zeros(count + 1).index_add_(0, place, sizes)[:count]
