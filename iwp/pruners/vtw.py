"""VTW: all visual tokens leave before one layer (arXiv 2405.05803)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from iwp.pruners.base import Choice, Pruner
from iwp.types import Ranking

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.layer_average import Plan
    from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class VTW(Pruner):
    """Keeps no visual token from `layer` on, row ends included; only the layer sets what it costs.

    The budget says nothing: a layer average of rho is a cut before layer round(rho L) of L. Only a
    budget of 1.0 keeps everything, as with every method. There is no order: the ranking is that of
    the prompt. The paper cuts 32 layers in the middle, or where `quiet_layer` says.
    """

    name: ClassVar[str] = "vtw"
    paper: ClassVar[str | None] = "2405.05803"
    keeps: ClassVar[str] = "nothing: all visual tokens leave before a middle layer"
    budget_is: ClassVar[str] = (
        "without effect: no token is left, and the layer alone sets the layer average"
    )
    own_layer: ClassVar[bool] = True
    nested: ClassVar[bool] = False

    layer: int = 16

    @classmethod
    def suited(cls, layers: int, recommended: Mapping[str, Any]) -> dict[str, Any]:
        """See `Pruner.suited`: the middle of the decoder."""
        return {**super().suited(layers, recommended), "layer": layers // 2}

    def plan(self, n: int) -> Plan:
        """See `Pruner.plan`."""
        return ((self.layer, n if self.budget == 1 else 0),)

    def at_average(self, average: float, n: int, layers: int) -> Pruner:  # noqa: ARG002
        """See `Pruner.at_average`: the layer follows from the average, not the budget."""
        layer = round(average * layers)
        return replace(self, budget=1.0) if layer == layers else replace(self, layer=layer)

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`."""
        scores = torch.zeros(view.n, device=view.visual.device)
        return Ranking(ranks=torch.arange(view.n, device=view.visual.device), scores=scores)

    def choose(self, view: LayerView) -> Choice:
        """See `Pruner.choose`."""
        return Choice(*self.select(view, view.n if self.budget == 1 else 0))

    def select(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor | None]:
        """See `Pruner.select`: no token, or all where `keep` says all."""
        return torch.arange(view.n if keep >= view.n else 0, device=view.visual.device), None


def quiet_layer(
    divergences: Sequence[float], first: int = 5, tolerance: float = 0.003
) -> int | None:
    """The first layer before which all visual tokens may leave, as the paper looks for it.

    Args:
        divergences: for a cut before layers `first`, `first` + 1, ...: KL(pruned || whole) of the
            distribution of the first token, averaged over some 20 prompts.
        first: the layer of the first of them.
        tolerance: the divergence that is put up with.

    Returns:
        The layer, or None where every cut is too early.
    """
    good = (first + i for i, value in enumerate(divergences) if value <= tolerance)
    return next(good, None)
