"""The two sides of the page: what the menus offer, what was chosen, and how it is called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from iwp.contest import Contest
from iwp.engine import choose_method
from iwp.errors import InputError
from iwp.pruners import PRUNERS, HandPicked
from iwp.ui import text
from iwp.ui.knobs import Knobs

if TYPE_CHECKING:
    from iwp.adapters.base import VLM
    from iwp.pruners.base import Pruner
    from iwp.types import Convention, Media
    from iwp.ui.backend import Backend, PageRun

EVERY: Final = "every"
"""The left menu's value for no method."""
FIRST: Final = "iwp"
CONVENTIONS: Final[dict[str, Convention]] = {text.AT_THE_CUT: "cut", text.AVERAGE: "average"}


@dataclass(frozen=True)
class Sides:
    """What is compared.

    Attributes:
        left: the left side's method, or None for every visual token.
        right: the right side's.
        convention: what both sides' budget is a fraction of.
        knobs: what was changed from the recommended settings.
        serial: of the model that they were chosen for.
        layers: of its decoder.
    """

    left: Pruner | None
    right: Pruner
    convention: Convention = "cut"
    knobs: Knobs = field(default_factory=Knobs)
    serial: int = 0
    layers: int = 0

    @property
    def titles(self) -> tuple[str, str]:
        """What the answers are called, left and right."""
        left = text.BASELINE if self.left is None else text.KEPT_BY.format(called(self.left))
        return left, text.KEPT_BY.format(called(self.right))

    @property
    def pruners(self) -> tuple[Pruner, ...]:
        """The methods, left first."""
        return (self.right,) if self.left is None else (self.left, self.right)

    def start(self, engine: Backend, media: Media, question: str, budget: float) -> PageRun:
        """Start comparing them.

        Raises:
            InputError: the question or the budget cannot be used, or another model answers now.
        """
        if engine.vlm.serial != self.serial:
            raise InputError(text.MODEL_CHANGED)
        return engine.compare(
            media,
            question,
            budget,
            method=self.right,
            against=self.left,
            convention=self.convention,
            max_new_tokens=self.knobs.max_new_tokens,
            temperature=self.knobs.temperature,
        )


def called(method: Pruner | type[Pruner]) -> str:
    """A method's name for people."""
    kind = method if isinstance(method, type) else type(method)
    return text.HAND if kind is HandPicked else kind.__name__


def methods() -> list[tuple[str, str]]:
    """(label, name) of every method, IWP first: the entries of the right menu."""
    kinds = sorted(PRUNERS.values(), key=lambda kind: kind.name != FIRST)
    return [
        (f"{called(kind)} (arXiv {kind.paper})" if kind.paper else called(kind), kind.name)
        for kind in kinds
    ]


def choose(
    vlm: VLM,
    budget: float,
    left: str | None,
    right: str,
    convention: str,
    knobs: Knobs | None = None,
) -> Sides:
    """The sides with the settings that the model recommends, and what was changed on the right.

    Args:
        vlm: the model that is to be pruned.
        budget: the fraction that both sides are asked for.
        left: a method's name, or `EVERY` or None for every visual token.
        right: a method's name.
        convention: "cut" or "average".
        knobs: what was changed.

    Raises:
        InputError: a name is unknown, an option cannot be used, or a method cannot be used with
            this model.
    """
    knobs = knobs or Knobs()
    options = knobs.options if right == FIRST else None
    contest = Contest(
        method=choose_method(vlm, budget, str(right), knobs.layer, options),
        rival=None if left in (None, EVERY) else choose_method(vlm, budget, str(left)),
        budget=budget,
        convention=cast("Convention", convention),  # refused there if it is none
    )
    return Sides(
        *(contest.rival, contest.method, contest.convention, knobs),
        serial=vlm.serial,
        layers=len(vlm.adapter.decoder_layers),
    )
