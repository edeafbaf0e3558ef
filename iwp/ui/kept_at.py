"""How many tokens a method keeps at every position of the budget slider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from iwp.budget import keep_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from iwp.pruners.base import Pruner
    from iwp.types import Convention

STEPS: Final = 1000


def redraws(pruner: Pruner) -> bool:
    """Whether ranks and counts say what the method keeps at every budget."""
    return pruner.nested and len(pruner.cuts) == 1


def kept_at(pruner: Pruner, convention: Convention, n: int, layers: int) -> NDArray[np.int64]:
    """What a method that `redraws` keeps of n tokens at the budgets 0.1 %, 0.2 % ... 100 %.

    Args:
        pruner: the method; its budget does not matter.
        convention: what the budget is a fraction of.
        n: visual tokens of the prompt.
        layers: the decoder's layers.

    Returns:
        (1000,) counts; -1 where the layer average is out of reach: see `Pruner.at_average`.
    """
    if convention == "cut":
        return np.array([keep_count(n, step / STEPS) for step in range(1, STEPS + 1)])
    before = min(pruner.layer, layers)
    after = layers - before
    # tokens that all layers together should read, and what is left of that for those after the cut
    left = np.arange(1, STEPS + 1) / STEPS * n * layers - n * before
    if after == 0:
        return np.where(left >= -0.5 * layers, n, -1)
    lower = np.floor(left / after)
    nearest = np.where(left - lower * after <= (lower + 1) * after - left, lower, lower + 1)
    counts = np.clip(nearest, 1, n).astype(np.int64)
    return np.where(after <= left + 0.5 * layers, counts, -1)
