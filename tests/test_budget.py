"""One definition of how many tokens a budget keeps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iwp.budget import check_budget, keep_count
from iwp.errors import InputError
from iwp.pruners import IWP, PRUNERS


@pytest.mark.parametrize(
    ("n", "budget", "expected"),
    [(576, 0.222, 128), (576, 0.111, 64), (10, 0.25, 3), (5, 1e-9, 1), (1, 0.5, 1), (7, 1.0, 7)],
)
def test_known_counts(n: int, budget: float, expected: int) -> None:
    assert keep_count(n, budget) == expected


@given(st.integers(1, 10_000), st.floats(1e-9, 1.0), st.floats(1e-9, 1.0))
def test_counts_are_in_range_and_grow(n: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 1 <= keep_count(n, low) <= keep_count(n, high) <= n


@pytest.mark.parametrize("budget", [0, -0.1, 1.01, math.nan, math.inf, 10**400, None, "half"])
def test_no_budget(budget: object) -> None:
    with pytest.raises(InputError, match=r"1 token and 100 %"):
        check_budget(budget)
    for method in PRUNERS.values():
        with pytest.raises(InputError):
            method(budget=budget)


def test_options_that_do_not_exist_are_named() -> None:
    with pytest.raises(InputError, match="hidden, none"):
        IWP(duplication="cosine")
    with pytest.raises(InputError, match="sqrt_d, median"):
        IWP(bandwidth="wide")
    with pytest.raises(InputError, match="layer -1"):
        IWP(layer=-1)
    with pytest.raises(InputError, match="growth"):
        IWP(growth=0)
    with pytest.raises(InputError, match="floor"):
        IWP(floor=2.0)


def test_a_method_holds_its_budget_as_a_number() -> None:
    for method in PRUNERS.values():
        assert method(budget="1.0").budget == 1.0
