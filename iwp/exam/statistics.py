"""Accuracies with intervals, by resampling pictures: pure arrays, one column a setting.

Questions about one picture are not independent, so a draw takes whole pictures. It takes as many
easy as hard ones as the exam has: how many there are was decided, not drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEVEL = (2.5, 97.5)  # percent


class Resampled:
    """Draws of an exam's pictures, the same for all settings: differences are paired.

    Args:
        pictures: (Q,) the picture of each question.
        strata: (Q,) the group of its picture; every draw has as many pictures of each group as
            the exam.
        draws: how many.
        seed: of the draws.
    """

    def __init__(
        self,
        pictures: NDArray[np.int64],
        strata: NDArray[np.int64],
        draws: int = 10_000,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        unique, first, self._cluster = np.unique(pictures, return_index=True, return_inverse=True)
        groups = strata[first]
        self.weights = np.zeros((draws, len(unique)), np.float32)
        """(draws, P) how often a draw holds each picture, by ascending number."""
        for group in np.unique(groups):
            members = np.flatnonzero(groups == group)
            share = np.full(len(members), 1 / len(members))
            self.weights[:, members] = rng.multinomial(len(members), share, size=draws)

    def means(self, values: Floats, which: NDArray[np.bool_] | None = None) -> Floats:
        """(draws, C) means of the (Q, C) values in every draw, over the questions of `which`.

        A draw without any such question gives NaN.
        """
        chosen = np.ones(len(values), bool) if which is None else which
        clusters = self._cluster[chosen]
        sums = np.zeros((self.weights.shape[1], values.shape[1] + 1), np.float32)
        np.add.at(sums[:, :-1], clusters, values[chosen].astype(np.float32))
        np.add.at(sums[:, -1], clusters, 1.0)
        totals = (self.weights @ sums).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            means: Floats = totals[:, :-1] / totals[:, -1:]
        return means


def interval(draws: Floats) -> Floats:
    """(2, ...) ends of the 95 % percentile interval of (draws, ...) means."""
    ends: Floats = np.nanpercentile(draws, _LEVEL, axis=0)
    return ends


def relative(right: Floats, whole: Floats, kinds: NDArray[np.str_]) -> Floats:
    """(C,) score relative to every token: per kind, as a share of its score, then the mean.

    As the paper's "Avg.", with kinds of questions for benchmarks. A kind in which every token
    answers nothing is left out; NaN where that leaves none.

    Args:
        right: (Q, C) whether a setting was right.
        whole: (Q,) whether every token was.
        kinds: (Q,) kind of question.
    """
    shares = [
        right[kinds == kind].mean(axis=0) / whole[kinds == kind].mean()
        for kind in np.unique(kinds)
        if whole[kinds == kind].any()
    ]
    if not shares:
        return np.full(right.shape[1], np.nan)
    mean: Floats = np.mean(shares, axis=0)
    return mean


def mean_known(values: Floats) -> float | None:
    """The mean of the values that are no NaN; None without any."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
