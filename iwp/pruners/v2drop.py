"""V2Drop: visual tokens that a layer has changed (arXiv 2509.01552)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from iwp.budget import check_budget
from iwp.errors import InputError
from iwp.pruners.ordered import by_score
from iwp.pruners.staged import Share, Staged, in_proportion

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class V2Drop(Staged):
    """Cuts several times; tokens stay whose row the layer before the cut has changed most.

    The score is the L2 norm of the difference between the inputs of the cut's layer and of the one
    before. Every cut leaves max(1, int(budget n)) of the n tokens that reach it, and the last one
    `last` of them, by default a single token. The paper: a budget of 0.5 before layers 3, 17 and
    22 of 32, or 3, 16 and 22 of 28.

    Attributes:
        last: the fraction that the last of several cuts leaves; nothing happens at a budget of 1.
    """

    name: ClassVar[str] = "v2drop"
    paper: ClassVar[str | None] = "2509.01552"
    keeps: ClassVar[str] = "what the layer before has changed most, at three layers"
    budget_is: ClassVar[str] = (
        "the fraction that each cut leaves of what reached it; the last leaves one token"
    )
    looks_back: ClassVar[bool] = True

    layer: int = 3
    later: tuple[int, ...] = (17, 22)
    last: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.last <= 1:
            raise InputError(f"V2Drop's last cut leaves a fraction, not {self.last!r}.")

    @classmethod
    def suited(cls, layers: int, recommended: Mapping[str, Any]) -> dict[str, Any]:
        """See `Pruner.suited`: the paper's for 32 and 28 layers, others in proportion to 28."""
        first, *later = (3, 17, 22) if layers == 32 else in_proportion((3, 16, 22), layers)
        return {**super().suited(layers, recommended), "layer": first, "later": tuple(later)}

    @property
    def cuts(self) -> tuple[Share, ...]:
        """See `Pruner.cuts`."""
        budget, layers = check_budget(self.budget), (self.layer, *self.later)
        shares = [budget] * len(layers)
        if len(layers) > 1 and budget < 1:
            shares[-1] = self.last
        return tuple(
            Changed(budget, layer, self.separators, share=share, of_all=False)
            for layer, share in zip(layers, shares, strict=True)
        )


@dataclass(frozen=True)
class Changed(Share):
    """Keeps what the layer before the cut has changed most."""

    name: ClassVar[str] = "v2drop, one cut"
    looks_back: ClassVar[bool] = True

    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """See `Ordered.order`. The scores are norms."""
        before = view.before
        now = view.hidden[view.visual].float()
        then = before.hidden[before.visual].float()
        scores = (now - then.to(now.device)).norm(dim=1)
        return by_score(scores, keep), scores
