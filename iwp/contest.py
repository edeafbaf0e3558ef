"""The methods of a comparison's two sides, and the budget that both are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iwp.budget import check_budget
from iwp.errors import InputError

if TYPE_CHECKING:
    from iwp.budget import Budget
    from iwp.pruners.base import Pruner
    from iwp.types import Convention

CONVENTIONS: tuple[Convention, ...] = ("cut", "average")


@dataclass(frozen=True)
class Contest:
    """Both sides get the same budget in the same convention.

    Attributes:
        method: the right side's.
        rival: the left side's; None where that side reads every visual token.
        budget: the fraction that is asked for.
        convention: what it is a fraction of: "cut" hands it to the methods as their own budget,
            "average" is the fraction of visual tokens that a layer reads on average.

    Raises:
        InputError: there is no such convention, or a method cannot find its budget.
    """

    method: Pruner
    rival: Pruner | None
    budget: Budget
    convention: Convention = "cut"

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            known = " or ".join(CONVENTIONS)
            raise InputError(f"A budget is counted as {known}, not as {self.convention!r}.")
        if self.convention == "average":
            check_budget(self.budget)

    @property
    def needs_tower(self) -> bool:
        """Whether a side's method asks what the vision tower says."""
        return any(side.needs_tower for side in (self.method, self.rival) if side)

    def at(self, budget: Budget) -> Contest:
        """The same at another budget.

        Raises:
            InputError: the budget cannot be used.
        """
        asked = budget if budget == "auto" else check_budget(budget)
        method = replace(self.method, budget=asked)
        rival = replace(self.rival, budget=asked) if self.rival else None
        return replace(self, method=method, rival=rival, budget=asked)

    def on(self, n: int, layers: int) -> Contest:
        """The same for a prompt of n visual tokens and a decoder of so many layers.

        Raises:
            InputError: a method cannot bring the layer average down to the budget.
        """
        if self.convention == "cut":
            return self
        average = check_budget(self.budget)
        rival = self.rival.at_average(average, n, layers) if self.rival else None
        return replace(self, method=self.method.at_average(average, n, layers), rival=rival)
