"""How close the pruned side came to the baseline, and whether the method suits the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iwp import fidelity
from iwp.results import Fidelity, Odds

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from iwp.pruners.base import Pruner
    from iwp.types import Answer, Ranking

WIDE_KEYS = 8.0
"""Median kernel exponent above which `bandwidth="sqrt_d"` takes all tokens for unlike ones."""


def judge(
    ranking: Ranking,
    baseline: Answer,
    pruned: Answer,
    baseline_logits: Tensor | None,
    pruned_logits: Tensor | None,
) -> Fidelity:
    """Compare two answers to one question.

    Args:
        ranking: the order in which the pruned side kept its tokens.
        baseline: the answer with every visual token.
        pruned: the other one.
        baseline_logits: (V,) of the first token, or None where the side did not get that far.
        pruned_logits: the same.
    """
    kept = pruned.visual_tokens
    whole = all(answer.finish in ("eos", "length") for answer in (baseline, pruned))
    return Fidelity(
        dual_weight_error=_at(ranking.weight_errors, kept),
        output_error=_at(ranking.output_errors, kept),
        first_token_kl=None
        if baseline_logits is None or pruned_logits is None
        else fidelity.first_token_kl(baseline_logits, pruned_logits),
        same_answer=baseline.answer == pruned.answer if whole else None,
    )


def first_token_odds(
    baseline_logits: Tensor | None,
    pruned_logits: Tensor | None,
    worded: Callable[[list[int]], str],
    most: int = 3,
) -> tuple[Odds, ...]:
    """The likeliest first tokens of both sides.

    Args:
        baseline_logits: (V,) of the first token, or None where the side did not get that far.
        pruned_logits: the same.
        worded: the text of token numbers.
        most: how many of each side.

    Returns:
        Those of the baseline, the likeliest first, then what only the other side has among its own.
    """
    if baseline_logits is None or pruned_logits is None:
        return ()
    sides = [logits.double().softmax(dim=-1) for logits in (baseline_logits, pruned_logits)]
    tops = [side.topk(min(most, side.shape[0])).indices.tolist() for side in sides]
    found = dict.fromkeys(token for top in tops for token in top)
    return tuple(Odds(worded([i]), float(sides[0][i]), float(sides[1][i])) for i in found)


def told_by(ranking: Ranking, method: Pruner, rival: Pruner | None = None) -> Ranking:
    """The ranking with its errors only where they tell what `method` lost to the left side.

    They are those of dropping tokens at the first cut, and say nothing about others, nor about
    what a `rival` on the left side lost.
    """
    if rival is None and len(method.cuts) == 1 and not method.merges:
        return ranking
    return replace(ranking, weight_errors=None, output_errors=None)


def scale_warning(exponent: float | None, bandwidth: str | None) -> str | None:
    """A sentence where the paper's fixed kernel width is too narrow for the model's keys.

    Args:
        exponent: see `iwp.dual.median_exponent`.
        bandwidth: the method's, or None for a method without one.
    """
    if exponent is None or bandwidth != "sqrt_d" or exponent <= WIDE_KEYS:
        return None
    return (
        f"The visual keys lie far apart here (median kernel exponent {exponent:.1f}, above "
        f'{WIDE_KEYS:.0f}): the redundancy penalty does next to nothing; try bandwidth="median".'
    )


def _at(errors: Tensor | None, kept: int) -> float | None:
    return None if errors is None else float(errors[kept])
