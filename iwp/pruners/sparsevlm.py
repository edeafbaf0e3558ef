"""SparseVLM: what the words that matter look at, in three cuts (arXiv 2410.04417)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from iwp.budget import check_budget, keep_count
from iwp.errors import InputError
from iwp.pruners.attention import received
from iwp.pruners.base import Choice
from iwp.pruners.density_peaks import density_peaks
from iwp.pruners.merging import means, ranking_of
from iwp.pruners.ordered import by_score
from iwp.pruners.raters import closeness, rating
from iwp.pruners.staged import Share, Staged, in_proportion

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView
    from iwp.types import Ranking


@dataclass(frozen=True)
class SparseVLM(Staged):
    """Cuts by the attention that a few text tokens pay in the layer before, and recycles the rest.

    These raters are found once, from what enters the decoder: text tokens that visual tokens point
    at more than at the average one. A token's score is the mean attention of the raters over all
    heads. Of the tokens that a cut drops, the best 30 % fall into clusters of about ten (DPC-kNN);
    the centre of a cluster stays, as the mean of its members.

    The budget is the fraction of the prompt's tokens that the last cut leaves, recycled ones
    included. Earlier cuts leave more, in the proportions of `counts`: 309, 204 and 113 of 576
    tokens are the authors' list for 192 tokens on average. This is version 1.5 of their code,
    whose density has random noise and whose positions are numbered anew; here ties go to the lower
    number, and tokens keep their positions. Cuts come after layers 2, 6 and 15.

    Attributes:
        counts: what the cuts leave, relative to each other; the last for the last cut.
    """

    name: ClassVar[str] = "sparsevlm"
    paper: ClassVar[str | None] = "2410.04417"
    keeps: ClassVar[str] = (
        "what the words that matter attend to, at three layers; some of the rest merged"
    )
    budget_is: ClassVar[str] = "the fraction left after the last cut, merged tokens included"
    looks_back: ClassVar[bool] = True
    needs_embeddings: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    layer: int = 3
    later: tuple[int, ...] = (7, 16)
    counts: tuple[int, ...] = (309, 204, 113)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "counts", tuple(self.counts))  # a list where it comes from JSON
        if len(self.counts) <= len(self.later) or min(self.counts) < 1:
            raise InputError(
                f"{type(self).__name__} needs a positive count for each of its "
                f"{1 + len(self.later)} cuts, not {', '.join(map(str, self.counts))}."
            )

    @classmethod
    def suited(cls, layers: int, recommended: Mapping[str, Any]) -> dict[str, Any]:
        """See `Pruner.suited`: the authors' layers for 32 and 28, others in proportion to 28."""
        places = (3, 7, 16)
        first, *later = places if layers == 32 else in_proportion(places, layers)
        return {**super().suited(layers, recommended), "layer": first, "later": tuple(later)}

    @property
    def cuts(self) -> tuple[Share, ...]:
        """See `Pruner.cuts`."""
        budget, layers = check_budget(self.budget), (self.layer, *self.later)
        return tuple(
            self._cut(budget, layer, self.separators, min(1.0, budget * count / self.counts[-1]))
            for layer, count in zip(layers, self.counts[-len(layers) :], strict=True)
        )

    def _cut(self, budget: float, layer: int, separators: str, share: float) -> Share:
        return Recycled(budget, layer, separators, share)


@dataclass(frozen=True)
class SparseVLMPlus(SparseVLM):
    """Version 2.0 of the authors' code: as SparseVLM, but nothing is recycled.

    Before it is scored, the attention is divided by what rotary positions alone make of the
    distance between row and token; and only the half of the heads counts in which raters attend to
    visual tokens most. The list for 192 tokens on average is 300, 200 and 118 of 576.
    """

    name: ClassVar[str] = "sparsevlm_plus"
    keeps: ClassVar[str] = (
        "as `sparsevlm`, corrected for distance and by half of the heads; nothing merged"
    )
    budget_is: ClassVar[str] = "the fraction left after the last cut"
    merges: ClassVar[bool] = False

    counts: tuple[int, ...] = (300, 200, 118)

    def _cut(self, budget: float, layer: int, separators: str, share: float) -> Share:
        return Corrected(budget, layer, separators, share)


@dataclass(frozen=True)
class Rated(Share):
    """Keeps what the raters attend to in the layer before the cut."""

    name: ClassVar[str] = "sparsevlm, one cut"
    looks_back: ClassVar[bool] = True
    needs_embeddings: ClassVar[bool] = True

    def leaves(self, n: int, n_uncut: int | None = None) -> int:
        """See `Share.leaves`; rounded like every other budget."""
        return min(n, keep_count(n if n_uncut is None else n_uncut, self.share))

    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """See `Ordered.order`. The scores are attention weights."""
        before = view.before
        rows = before.text[rating(view.at_input).to(before.text.device)]
        scores = self._scores(before, rows).to(view.visual.device)
        return by_score(scores, keep), scores

    def _scores(self, view: LayerView, rows: Tensor) -> Tensor:
        return received(view, rows).mean(dim=0) / len(rows)


@dataclass(frozen=True)
class Corrected(Rated):
    """The same without what the distance alone explains, and by half of the heads."""

    def _scores(self, view: LayerView, rows: Tensor) -> Tensor:
        by_head = received(view, rows, 1.0 / closeness(view, rows))
        half = by_score(by_head.sum(dim=1), max(1, len(by_head) // 2))
        return by_head[half].mean(dim=0) / len(rows)


@dataclass(frozen=True)
class Recycled(Rated):
    """The same, and part of what it drops goes into a few tokens that stay."""

    merges: ClassVar[bool] = True
    nested: ClassVar[bool] = False

    def choose(self, view: LayerView) -> Choice:
        """See `Pruner.choose`."""
        return self._reduced(view, self.leaves(view.n, view.n_uncut))

    def select(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor | None]:
        """See `Pruner.select`."""
        choice = self._reduced(view, keep)
        return choice.kept, choice.scores

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`."""
        return ranking_of(self.choose(view))

    def _reduced(self, view: LayerView, leaves: int) -> Choice:
        order, scores = self._whole(view, view.n)
        chosen, count = split(view.n, leaves)
        pool = order[chosen : chosen + _recycled(view.n - chosen)].sort().values
        into = torch.full_like(order, -1).index_copy_(0, order[:chosen], order[:chosen])
        if not count:
            return Choice(order[:chosen].sort().values, scores, into=into)
        rows = view.hidden[view.visual].float()
        centres, label = density_peaks(rows[pool], count)
        into.index_copy_(0, pool, pool[label])
        merged, _ = means(rows[pool], label, centres)
        kept = torch.cat((order[:chosen], pool[centres])).sort().values
        rows = rows.index_copy(0, pool[centres], merged)[kept]
        return Choice(kept, scores, rows, into=into)


def split(n: int, leaves: int) -> tuple[int, int]:
    """How many of `leaves` tokens out of n are chosen, at least one, and how many recycled."""
    for chosen in range(leaves, 0, -1):
        count = _recycled(n - chosen) // 10 + 1 if chosen < n else 0
        if chosen + count <= leaves:
            return chosen, count
    return 1, leaves - 1  # next to none are left: the authors' code would leave more


def _recycled(dropped: int) -> int:
    """How many of the dropped tokens go into others: 30 % and one more."""
    return int(dropped * 0.3) + 1
