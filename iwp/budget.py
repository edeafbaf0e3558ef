"""How many visual tokens a budget keeps. The one definition of it."""

from __future__ import annotations

import math
from typing import Final, Literal

from iwp.errors import InputError

Budget = float | Literal["auto"]
"""The fraction of visual tokens to keep, or "auto" for methods that find their own."""

USUAL_BUDGET: Final = 0.222
"""Where nobody says otherwise: the middle one of the paper's three."""


def keep_count(n: int, budget: float) -> int:
    """Tokens to keep out of `n`: `budget * n` rounded half up, at least 1, at most `n`.

    Args:
        n: number of visual tokens.
        budget: the fraction to keep, 0 < budget <= 1.
    """
    return min(n, max(1, math.floor(budget * n + 0.5)))


def check_budget(budget: Budget) -> float:
    """The budget as a float, when it is one.

    Raises:
        InputError: it is no number, not above 0, or above 1; "auto" is none either.
    """
    if budget == "auto":
        raise InputError(
            'Only IWP finds its own budget: give a fraction above 0 and at most 1, not "auto".'
        )
    try:
        fraction = float(budget)
    except (TypeError, ValueError, OverflowError):
        fraction = math.nan
    if not 0.0 < fraction <= 1.0:
        raise InputError(
            f"Keep between 1 token and 100 % of the visual tokens: the budget is a fraction "
            f"above 0 and at most 1, not {budget!r}."
        )
    return fraction
