"""A method for tests that merges neighbours, and the slow truth of what they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from iwp.pruners import Choice, LayerView, Pruner
from iwp.types import Cut, Ranking
from tests.hiding import Became


@dataclass(frozen=True)
class Neighbours(Pruner):
    """Groups of 1, 2, 3, 1, 2, 3 ... tokens become one, the mean, at their last one's place.

    The last token of all is dropped, and so is the first where there are more than two.
    """

    name: ClassVar[str] = "neighbours"
    merges: ClassVar[bool] = True
    nested: ClassVar[bool] = False

    sized: bool = True

    def rank(self, view: LayerView) -> Ranking:
        ranks = torch.ones(view.n, dtype=torch.long)
        ranks[self.choose(view).kept] = 0
        return Ranking(ranks.argsort(stable=True).argsort(), torch.zeros(view.n))

    def choose(self, view: LayerView) -> Choice:
        into, start = torch.full((view.n,), -1), int(view.n > 2)
        while start < view.n - 1:
            last = min(start + start % 3 + 1, view.n - 1)
            into[start:last] = last - 1
            start = last
        kept, sizes = into[into >= 0].unique(return_counts=True)
        rows = torch.zeros(len(kept), view.hidden.shape[1], device=view.hidden.device)
        for row, token in zip(rows, kept, strict=True):
            row += view.hidden[view.visual[into == token]].float().mean(dim=0)
        return Choice(kept, None, rows, sizes.float() if self.sized else None, into)


@dataclass(frozen=True)
class Everything(Neighbours):
    """Keeps every token; each becomes another, and every third counts for two."""

    def choose(self, view: LayerView) -> Choice:
        numbers = torch.arange(view.n)
        sizes = 1.0 + (numbers % 3 == 0)
        rows = view.hidden[view.visual].float().roll(1, dims=0)
        return Choice(numbers, None, rows, sizes if self.sized else None, numbers)


@dataclass(frozen=True)
class Sequenced(Pruner):
    """Several cuts of any kind."""

    name: ClassVar[str] = "sequenced"
    merges: ClassVar[bool] = True
    nested: ClassVar[bool] = False
    of: tuple[Pruner, ...] = ()

    @property
    def cuts(self) -> tuple[Pruner, ...]:
        return self.of

    def rank(self, view: LayerView) -> Ranking:
        return self.of[0].rank(view)


def means(columns: Tensor, cut: Cut, sized: bool, before: Cut | None = None) -> Became:
    """What `Neighbours` has to make of a prompt, told by nothing but which token went where.

    Args:
        columns: (n,) where the original visual tokens are.
        cut: the trace of the cut.
        sized: whether tokens are weighed.
        before: the trace of the cut before that.
    """
    assert cut.into is not None
    went = {number: to for number, to in enumerate(cut.into.tolist()) if to >= 0}
    if before is not None:
        went = {number: to for number, to in went.items() if number in before.kept.tolist()}
    kept = cut.kept.tolist()
    members = [[columns[number] for number, to in went.items() if to == token] for token in kept]

    def rows(hidden: Tensor) -> Tensor:
        return torch.stack([sum(hidden[one] for one in some) / len(some) for some in members])

    sizes = torch.tensor([len(some) if sized else 1 for some in members], dtype=torch.float64)
    return Became(columns[cut.kept], rows, sizes.log())


def all_means(columns: Sequence[Tensor], cuts: Sequence[Cut], sized: bool) -> list[Became]:
    """The same for several prompts; those without a picture stay as they are."""
    return [
        means(some, cut, sized)
        if len(some)
        else Became(some, lambda rows: rows[:0], torch.zeros(0))
        for some, cut in zip(columns, cuts, strict=True)
    ]
