"""The share of visual tokens that a decoder's layers read on average, and budgets that reach one.

A budget says what is left at a cut. Layers before the cut read everything, so two methods with the
same budget and cuts before different layers do different amounts of work: this is what they share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from iwp.errors import InputError

Plan = Sequence[tuple[int, int]]
"""Cuts before ascending layers: the layer, and how many visual tokens are left from there on."""

_STEPS = 60  # halvings of the budget: more than a float has digits


def tokens_read(plan: Plan, n: int, layers: int) -> int:
    """Visual tokens that all layers together read: the sum of n_l over the layers l.

    Args:
        plan: the cuts; those that the decoder has no layer for do not happen.
        n: visual tokens of the prompt.
        layers: the decoder's layers.
    """
    ends = [min(layer, layers) for layer, _ in plan] + [layers]
    left = [n, *(count for _, count in plan)]
    starts = [0, *ends[:-1]]
    return sum(k * (end - start) for k, start, end in zip(left, starts, ends, strict=True))


def layer_average(plan: Plan, n: int, layers: int) -> float:
    """Fraction of the n visual tokens that a layer reads on average; 1.0 without any."""
    return tokens_read(plan, n, layers) / (n * layers) if n else 1.0


def budget_for(
    average: float,
    plan_at: Callable[[float], Plan],
    n: int,
    layers: int,
    name: str = "This method",
) -> tuple[float, float]:
    """The budget that brings the layer average nearest to the one that is wanted.

    A single cut before layer K of L needs (rho L - K) / (L - K) for an average of rho. Counts are
    whole tokens, so the average is met within half a token where one token more or less is left
    at a time.

    Args:
        average: the fraction wanted, 0 < average <= 1.
        plan_at: the cuts at a budget; no budget may leave fewer tokens than a smaller one.
        n: visual tokens of the prompt.
        layers: the decoder's layers.
        name: the method's, for people.

    Returns:
        The budget, and the average that it gives. Report that one, not the one wanted.

    Raises:
        InputError: the average is no fraction, or even the smallest budget reads more.
    """
    if not 0.0 < average <= 1.0:
        raise InputError(f"A layer average is a fraction above 0 and at most 1, not {average!r}.")

    def read(budget: float) -> float:
        return tokens_read(plan_at(budget), n, layers) / layers

    wanted = average * n
    low, high = 1e-9, 1.0
    least = read(low)
    if least > wanted + 0.5:
        raise InputError(
            f"{name} cannot bring the layer average down to {average:.1%}: with next to no token "
            f"left it is {least / n:.1%}. Ask for more, or cut before an earlier layer."
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if read(middle) < wanted else (low, middle)
    best = min((low, high), key=lambda budget: abs(read(budget) - wanted))
    return best, layer_average(plan_at(best), n, layers)
