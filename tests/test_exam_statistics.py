"""The exam's intervals and scores against slow references and known cases."""

from __future__ import annotations

import numpy as np
import pytest

from iwp.exam.statistics import Resampled, interval, mean_known, relative

RNG = np.random.default_rng(5)
PICTURES = np.array([7, 7, 7, 2, 2, 9, 9, 9, 9, 4, 11, 11])
STRATA = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1])
RIGHT = RNG.integers(0, 2, (12, 3)).astype(float)


def slow_means(weights: np.ndarray, values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Every question as often as its picture was drawn, one draw after another."""
    order = sorted(set(PICTURES.tolist()))
    out = []
    for draw in weights:
        drawn = [
            values[q]
            for q in range(len(PICTURES))
            if which[q]
            for _ in range(int(draw[order.index(PICTURES[q])]))
        ]
        out.append(np.mean(drawn, axis=0) if drawn else np.full(values.shape[1], np.nan))
    return np.array(out)


@pytest.mark.parametrize("some", [False, True])
def test_means_are_those_of_the_drawn_questions(some: bool) -> None:
    draws = Resampled(PICTURES, STRATA, draws=200, seed=3)
    which = PICTURES != 9 if some else np.ones(12, bool)
    found = draws.means(RIGHT, which if some else None)
    expected = slow_means(draws.weights, RIGHT, which)
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_draw_has_as_many_pictures_of_each_stratum_as_the_exam() -> None:
    weights = Resampled(PICTURES, STRATA, draws=50).weights  # pictures 2, 4, 7, 9, 11
    assert (weights[:, [2, 3]].sum(axis=1) == 2).all()
    assert (weights[:, [0, 1, 4]].sum(axis=1) == 3).all()
    assert len({tuple(row) for row in weights.tolist()}) > 5


def test_draws_without_any_question_are_no_number_and_left_out() -> None:
    draws = Resampled(PICTURES, STRATA, draws=300)
    only = draws.means(RIGHT, PICTURES == 2)
    assert np.isnan(only).any()
    assert interval(only)[:, 0] == pytest.approx([RIGHT[3:5, 0].mean()] * 2)


def test_the_same_seed_draws_the_same() -> None:
    first, second, other = (Resampled(PICTURES, STRATA, 20, seed).weights for seed in (1, 1, 2))
    assert (first == second).all()
    assert (first != other).any()


def test_one_question_a_picture_gives_the_binomial_interval() -> None:
    right = (np.arange(400) % 5 > 0).astype(float)[:, None]  # 80 %
    draws = Resampled(np.arange(400), np.zeros(400, np.int64)).means(right)
    low, high = interval(draws)[:, 0]
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.004)


def test_questions_about_one_picture_count_together() -> None:
    right = np.repeat((np.arange(100) % 2).astype(float), 4)[:, None]
    alone = Resampled(np.arange(400), np.zeros(400, np.int64)).means(right)
    together = Resampled(np.arange(400) // 4, np.zeros(400, np.int64)).means(right)
    widths = [np.diff(interval(one)[:, 0])[0] for one in (alone, together)]
    assert widths[1] / widths[0] == pytest.approx(2, abs=0.15)  # a fourth of the pictures


def test_differences_are_paired() -> None:
    right = RNG.integers(0, 2, (300, 1)).astype(float)
    both = np.concatenate((right, right), axis=1)
    both[:9, 1] = 1 - both[:9, 1]
    draws = Resampled(np.arange(300), np.zeros(300, np.int64)).means(both)
    gap = interval(draws[:, 1] - draws[:, 0])
    assert np.diff(gap)[0] < 0.5 * np.diff(interval(draws)[:, 0])[0]
    assert interval(draws[:, 0] - draws[:, 0]).tolist() == [0, 0]


def test_the_relative_score_is_the_mean_of_the_kinds_shares() -> None:
    kinds = np.array(["a", "a", "a", "a", "b", "b", "c"])
    whole = np.array([1, 1, 1, 0, 1, 0, 0.0])
    right = np.array([[1, 0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 1, 0, 0.0]]).T
    # a: 1 of 3; b: 2 of 1; c is answered by nobody with every token.
    assert relative(right, whole, kinds) == pytest.approx([(1 / 3 + 2) / 2, 1.0])


@pytest.mark.filterwarnings("error")
def test_there_is_no_share_of_nothing() -> None:
    found = relative(np.ones((3, 2)), np.zeros(3), np.array(["a", "a", "b"]))
    assert np.isnan(found).tolist() == [True, True]


@pytest.mark.filterwarnings("error")
def test_what_is_not_known_has_no_part_in_a_mean() -> None:
    assert mean_known(np.array([1, np.nan, 0.5])) == 0.75
    assert mean_known(np.array([np.nan])) is None
