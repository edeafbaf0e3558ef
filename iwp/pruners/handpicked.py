"""HandPicked: the visual tokens that a person chose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch

from iwp.errors import InputError
from iwp.pruners.base import Choice, LayerView, Pruner
from iwp.types import Ranking

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.layer_average import Plan


@dataclass(frozen=True)
class HandPicked(Pruner):
    """Keeps the tokens that it is told, of one prompt. In no table: it has nothing to choose by.

    Its budget has no effect, in either convention.

    Attributes:
        tokens: ascending numbers of visual tokens, at least one.

    Raises:
        InputError: no token is named, or they do not ascend from 0 on.
    """

    name: ClassVar[str] = "hand"
    keeps: ClassVar[str] = "what a person picked"
    budget_is: ClassVar[str] = "without effect: the tokens are named"
    nested: ClassVar[bool] = False

    tokens: tuple[int, ...] = field(default=(), repr=False)  # thousands, and `kept` tells them too

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tokens:
            raise InputError("Keep at least one patch.")
        if self.tokens[0] < 0 or list(self.tokens) != sorted(set(self.tokens)):
            raise InputError("Picked tokens are told by ascending numbers, from 0 on.")

    def plan(self, n: int) -> Plan:  # noqa: ARG002
        """See `Pruner.plan`."""
        return ((self.layer, len(self.tokens)),)

    def at_average(self, average: float, n: int, layers: int) -> Pruner:  # noqa: ARG002
        """See `Pruner.at_average`: nothing but other tokens would change it."""
        return self

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`: what was picked first, in the prompt's order."""
        kept, scores = self.select(view, len(self.tokens))
        assert scores is not None
        order = torch.cat((kept, (scores == 0).nonzero().flatten()))
        return Ranking(ranks=order.argsort(), scores=scores)

    def choose(self, view: LayerView) -> Choice:
        """See `Pruner.choose`."""
        return Choice(*self.select(view, len(self.tokens)))

    def select(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        """See `Pruner.select`: the picked tokens, and 1 for each of them as its score.

        Raises:
            InputError: the prompt has no such token.
        """
        if self.tokens[-1] >= view.n:
            largest = self.tokens[-1]
            raise InputError(f"The picture has {view.n:,} visual tokens: none of number {largest}.")
        kept = torch.tensor(self.tokens, device=view.visual.device)
        scores = torch.zeros(view.n, device=view.visual.device)
        scores[kept] = 1.0
        return kept, scores
