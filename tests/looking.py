"""A method that looks at the vision tower and notes what it was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from iwp.adapters import ADAPTERS, Adapter
from iwp.media import open_picture
from iwp.pruners.base import LayerView, Pruner
from iwp.pruning import prune
from iwp.types import Media, Ranking, Tower
from tests import tiny
from tests.families import FAMILIES
from tests.prompts import batch, model, written

BUDGET = 0.3


@dataclass(frozen=True)
class Looking(Pruner):
    """Keeps the most salient tokens, and notes what it was shown."""

    name: ClassVar[str] = "looking"
    needs_tower: ClassVar[bool] = True

    budget: float = BUDGET
    layer: int = 2
    shown: list[LayerView] = field(default_factory=list, compare=False)

    def rank(self, view: LayerView) -> Ranking:
        """By saliency alone."""
        self.shown.append(view)
        scores = view.in_tower.saliency
        return Ranking(scores.argsort(descending=True, stable=True).argsort(), scores)

    @property
    def towers(self) -> list[Tower]:
        """What every prompt was shown with."""
        return [view.in_tower for view in self.shown]


@dataclass(frozen=True)
class LookingTwice(Looking):
    """The same, and again before layer 4."""

    @property
    def cuts(self) -> tuple[Pruner, ...]:
        """Half of the tokens, then a quarter."""
        return (
            Looking(0.5, 2, self.shown),
            Looking(0.5, 4, self.shown),
        )


def read(family: str, inputs: dict[str, Any], method: Looking, **options: Any) -> list[Tower]:
    with prune(model(family), method):
        written(model(family), inputs, max_new_tokens=1, **options)
    return method.towers


def alone(family: str, *prompts: Sequence[Any]) -> list[Tower]:
    """The same prompts, read one by one."""
    return [
        tower
        for prompt in prompts
        for tower in read(family, batch(FAMILIES[family], prompt), Looking())
    ]


def joined(*towers: Tower) -> Tower:
    return Tower(
        torch.cat([tower.saliency for tower in towers]), torch.cat([tower.keys for tower in towers])
    )


def prepared(family: str, media: Media | None = None) -> tuple[Adapter, dict[str, Any]]:
    """The family's adapter, and what its decoder and a method read of a picture or clip."""
    adapter = ADAPTERS[family](model(family), FAMILIES[family].processor())
    ready = adapter.prepare(media or open_picture(tiny.picture()), "What is it?")
    return adapter, dict(adapter.inputs(ready, *adapter.encode_and_look(ready)))
