"""Methods that cut several times in one prompt, and one such cut."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from iwp.errors import InputError
from iwp.pruners.base import Choice, Pruner
from iwp.pruners.ordered import Ordered, check_separators

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.layer_average import Plan
    from iwp.pruners.base import LayerView
    from iwp.types import Ranking


@dataclass(frozen=True)
class Share(Ordered):
    """One cut of several: what it leaves is a share of the tokens, rounded down, at least one.

    Attributes:
        share: the fraction that is left.
        of_all: of the tokens that the prompt had before the first cut, or of those that reach this
            one.
    """

    share: float = 1.0
    of_all: bool = True

    def choose(self, view: LayerView) -> Choice:
        """See `Pruner.choose`."""
        return Choice(*self.select(view, self.leaves(view.n, view.n_uncut)))

    def leaves(self, n: int, n_uncut: int | None = None) -> int:
        """How many of n tokens are left, of a prompt that had `n_uncut`."""
        whole = n_uncut if self.of_all and n_uncut is not None else n
        return min(n, max(1, int(self.share * whole)))


@dataclass(frozen=True)
class Staged(Pruner):
    """A method that cuts before `layer` and before later layers.

    `rank` and `select` are those of the first cut. A decoder has to have all the layers.

    Attributes:
        later: the layers of the other cuts, ascending; may be empty.
        separators: see `Ordered`; for every cut.
    """

    own_layer: ClassVar[bool] = True
    nested: ClassVar[bool] = False

    later: tuple[int, ...] = ()
    separators: str = "prunable"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_separators(self)
        object.__setattr__(self, "later", tuple(self.later))  # a list where it comes from JSON
        layers = (self.layer, *self.later)
        if any(one >= other for one, other in pairwise(layers)):
            raise InputError(
                f"{type(self).__name__} cuts before ascending layers, not before "
                f"{', '.join(map(str, layers))}."
            )

    @property
    @abstractmethod
    def cuts(self) -> tuple[Share, ...]:
        """See `Pruner.cuts`."""

    def plan(self, n: int) -> Plan:
        """See `Pruner.plan`."""
        plan, left = [], n
        for cut in self.cuts:
            left = cut.leaves(left, n)
            plan.append((cut.layer, left))
        return plan

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`."""
        return self.cuts[0].rank(view)

    def choose(self, view: LayerView) -> Choice:
        """See `Pruner.choose`."""
        return self.cuts[0].choose(view)

    def select(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor | None]:
        """See `Pruner.select`."""
        return self.cuts[0].select(view, keep)


def in_proportion(places: tuple[int, ...], layers: int, of: int = 28) -> tuple[int, ...]:
    """Places in a decoder of `of` layers, for one of `layers`: ascending, and none before 1."""
    found: list[int] = []
    for place in places:
        found.append(max(round(place * layers / of), found[-1] + 1 if found else 1))
    return tuple(found)
