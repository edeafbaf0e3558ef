"""VisionZip, SCOPE and VisPruner: worked examples, slow references, ties, no waiting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iwp.budget import keep_count
from iwp.pruners.scope import SCOPE, full_order, lazy_order
from iwp.pruners.visionzip import VisionZip, contextual_count, evenly, joined
from iwp.pruners.vispruner import VisPruner, distinct, distinct_by_lists
from tests import tower_reference as slow
from tests.tower_views import drawn, looked_at, numbers
from tests.waits import NoWaiting

# --- worked examples ---------------------------------------------------------------------


def test_scope_weighs_coverage_with_saliency() -> None:
    x = torch.tensor([[1, 0], [0.8, 0.6], [0, 1], [-0.6, 0.8], [-1, 0]])
    of = looked_at(x, torch.tensor([0.5, 0.1, 0.15, 0.05, 0.2]))
    order, gains = SCOPE().order(of, 3)
    assert order.tolist() == [0, 4, 2]
    torch.testing.assert_close(gains, torch.tensor([0.9, 0.24, 0.36, 0.12, 0.32]))
    assert SCOPE(alpha=0.0).order(of, 3)[0].tolist() == [1, 3, 4]  # 1, 2 and 3 cover 2.4 each


def test_vispruner_removes_doubles_in_rounds() -> None:
    i = torch.arange(40).double()
    angles = torch.deg2rad((7 * i * i) % 360)
    x = torch.stack((angles.cos(), angles.sin(), 0.3 * i.sin()), dim=1)
    kept, _ = VisPruner().select(looked_at(x, ((37 * i) % 41 + 1) / 100), 20)
    expected = [0, 1, 2, 4, 5, 6, 8, 9, 11, 12, 15, 20, 21, 22, 23, 31, 32, 33, 34, 35]
    assert kept.tolist() == expected


def test_visionzip_adds_a_mean_to_its_targets() -> None:
    x = torch.tensor([[1, 0], [2, 0], [0, 1], [0, 2], [1, 1], [3, 3]]).float()
    keys = torch.tensor([[1, 1], [1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.9], [1, 1.1]])[1:]
    saliency = torch.tensor([0.4, 0.1, 0.05, 0.05, 0.3, 0.1])
    rest = torch.tensor([1, 2, 3, 5])  # 0 and 4 are dominant
    targets = evenly(rest, 2)
    assert targets.tolist() == [1, 3]
    into = torch.tensor([0, 1, 3, 3, 4, 3])
    rows = joined(x, into, targets, mean=False)
    torch.testing.assert_close(rows, torch.tensor([[2, 0], [1.5, 4]]))
    rows = joined(x, into, targets, mean=True)
    torch.testing.assert_close(rows, torch.tensor([[2, 0], [1, 2]]).float())
    choice = VisionZip(budget=0.5).choose(looked_at(x, saliency, keys))  # two dominant ones, one
    assert choice.kept.tolist() == [0, 1, 4]
    assert choice.into.tolist() == [0, 1, 1, 1, 4, 1]
    torch.testing.assert_close(choice.rows, torch.tensor([[1, 0], [3, 2], [1, 1]]).float())


@pytest.mark.parametrize(
    ("keep", "contextual"), [(1, 0), (2, 1), (16, 3), (64, 10), (128, 20), (192, 30), (576, 0)]
)
def test_of_64_ten_are_contextual(keep: int, contextual: int) -> None:
    assert contextual_count(keep, 576) == contextual


# --- slow references ---------------------------------------------------------------------


SIZES = st.integers(1, 45)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 25), st.sampled_from([0.5, 1.0, 2.0]))
def test_scope_is_the_greedy_maximum(seed: int, n: int, alpha: float) -> None:
    of = drawn(seed, n)
    features, saliency, _ = numbers(of)
    expected = slow.scope(features, saliency, n, alpha)
    assert SCOPE(alpha=alpha).order(of, n)[0].tolist() == expected
    for keep in range(1, n + 1):
        assert SCOPE(alpha=alpha).select(of, keep)[0].tolist() == sorted(expected[:keep])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 25))
def test_coverage_alone_is_greedy_too(seed: int, n: int) -> None:
    of = drawn(seed, n)
    order = SCOPE(alpha=0.0).order(of, n)[0].tolist()
    for step, new in enumerate(order):  # two tokens that are nearest to each other add the same
        gains = slow.scope_gains(*numbers(of)[:2], order[:step], alpha=0.0)
        assert gains[new] >= max(gains) - 1e-5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), SIZES, st.data(), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_vispruner_keeps_what_the_loops_keep(seed: int, n: int, data: Any, share: float) -> None:
    of, keep = drawn(seed, n), data.draw(st.integers(1, n))
    features, saliency, _ = numbers(of)
    kept = VisPruner(important=share).select(of, keep)[0].tolist()
    assert kept == slow.vispruner(features, saliency, keep, share)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), SIZES, st.floats(0.02, 1), st.booleans(), st.booleans())
def test_visionzip_leaves_what_the_loops_leave(
    seed: int, n: int, budget: float, mean: bool, with_ends: bool
) -> None:
    of = drawn(seed, n, with_ends=with_ends)
    ends = of.separators.tolist() if with_ends else []
    features, saliency, keys = numbers(of)
    choice = VisionZip(budget=budget, joining="mean" if mean else "sum").choose(of)
    keep = keep_count(n, budget)
    assert len(choice.kept) == keep
    if keep == n:
        assert choice.rows is choice.into is None
        return
    contextual = contextual_count(keep, n - len(ends))
    rows, into = slow.visionzip(
        features, keys, saliency, keep - contextual, contextual, ends, mean=mean
    )
    assert choice.kept.tolist() == list(rows)
    assert choice.into.tolist() == into
    assert (choice.rows is None) == (contextual == 0)
    if contextual:
        expected = torch.tensor(np.stack(list(rows.values()))).float()
        torch.testing.assert_close(choice.rows, expected, rtol=1e-5, atol=1e-5)


AXES = st.lists(st.integers(0, 4), min_size=1, max_size=40)  # 4 stands for a row of zeros


@settings(max_examples=80, deadline=None)
@given(AXES, st.data())
def test_ties_go_to_the_lower_number(axes: list[int], data: Any) -> None:
    n = len(axes)
    features = torch.eye(5, 4)[axes]
    powers = data.draw(st.lists(st.sampled_from([0, 0.25, 0.5]), min_size=n, max_size=n))
    keep = data.draw(st.integers(1, n))
    of = looked_at(features, torch.tensor(powers).float())
    tables = numbers(of)
    assert SCOPE().order(of, keep)[0].tolist() == slow.scope(*tables[:2], keep)
    assert VisPruner().select(of, keep)[0].tolist() == slow.vispruner(*tables[:2], keep)
    similarity = (features @ features.T).clamp(min=0)
    lazy = lazy_order(similarity, of.in_tower.saliency, keep)
    assert torch.equal(full_order(similarity, of.in_tower.saliency, keep), lazy)
    assert torch.equal(distinct(similarity, keep), distinct_by_lists(similarity, keep))
    if keep < n:
        contextual = contextual_count(keep, n)
        rows, into = slow.visionzip(*tables[::2], tables[1], keep - contextual, contextual)
        choice = VisionZip(budget=keep / n).choose(of)
        assert choice.kept.tolist() == list(rows)
        assert choice.into.tolist() == into


# --- two ways to one choice --------------------------------------------------------------


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("copies", [1, 2])
def test_lazy_steps_choose_what_full_ones_do(copies: int, constant: bool) -> None:
    x = torch.randn(400 // copies, 16, generator=torch.Generator().manual_seed(2))
    x = (x / x.norm(dim=1, keepdim=True)).repeat(copies, 1)
    weights = torch.rand(400, generator=torch.Generator().manual_seed(1))
    weights = torch.full((400,), 0.01) if constant else weights
    similarity = (x @ x.T).clamp(0, 1)
    similarity = torch.maximum(similarity, similarity.T)
    keep = 400 // copies  # duplicates of chosen tokens add nothing but rounding
    assert torch.equal(lazy_order(similarity, weights, keep), full_order(similarity, weights, keep))
    assert lazy_order(similarity, weights, 400).unique().shape == (400,)


@pytest.mark.parametrize("kind", ["random", "smooth", "apart"])
@pytest.mark.parametrize(("n", "keep"), [(700, 41), (601, 128), (37, 1), (9, 0)])
def test_remembered_neighbours_tell_the_same_doubles(kind: str, n: int, keep: int) -> None:
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(n))
    if kind == "smooth":
        x = x.cumsum(dim=0)
    if kind == "apart":  # what is near an even place is never an odd one, at first
        x = 0.1 * x + torch.eye(2, 8)[torch.arange(n) % 2]
    x = x / x.norm(dim=1, keepdim=True)
    kept = distinct(x @ x.T, keep)
    assert len(kept.unique()) == len(kept) == keep
    assert torch.equal(distinct_by_lists(x @ x.T, keep), kept)


def test_no_choice_waits_for_the_device() -> None:
    of = drawn(0, 40, with_ends=True)
    x = of.hidden[of.visual]
    similarity = (x @ x.T).clamp(min=0)
    with NoWaiting():
        full_order(similarity, of.in_tower.saliency, 12)
        distinct(similarity, 5)
        for separators in ("prunable", "kept"):
            assert VisionZip(budget=0.3, separators=separators).choose(of).rows is not None
