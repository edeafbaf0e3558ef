"""The layer average of cuts, and budgets that reach one, against hand-computed tables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iwp.errors import InputError
from iwp.layer_average import budget_for, layer_average, tokens_read
from iwp.pruners import DART, IWP, PRUNERS, VTW, FastV, PyramidDrop, V2Drop
from iwp.pruning import prune
from tests import tiny
from tests.prompts import made

MANY = 1_000_000  # so many tokens that whole ones do not show
L = 28
AVERAGES = (0.353, 0.222, 0.111)


@pytest.mark.parametrize(
    ("layer", "budgets"),
    [
        (1, (0.3290, 0.1932, 0.0781)),
        (2, (0.3032, 0.1622, 0.0426)),
        (3, (0.2754, 0.1286, 0.0043)),
        (4, (0.2452, 0.0923, None)),
    ],
)
def test_a_single_cut(layer: int, budgets: tuple[float | None, ...]) -> None:
    for average, budget in zip(AVERAGES, budgets, strict=True):
        method = IWP(layer=layer)
        if budget is None:
            with pytest.raises(InputError, match=r"down to 11.1%.* it is 14.3%"):
                method.at_average(average, MANY, L)
            continue
        found = method.at_average(average, MANY, L)
        assert found.budget == pytest.approx((average * L - layer) / (L - layer), abs=2e-6)
        assert found.budget == pytest.approx(budget, abs=6e-5)
        assert layer_average(found.plan(MANY), MANY, L) == pytest.approx(average, abs=1e-6)


@pytest.mark.parametrize(
    ("layer", "averages"),
    [(2, (0.3992, 0.2776, 0.1745)), (3, (0.4223, 0.3054, 0.2063)), (4, (0.4454, 0.3331, 0.2380))],
)
def test_what_a_budget_reads_on_average(layer: int, averages: tuple[float, ...]) -> None:
    for budget, average in zip(AVERAGES, averages, strict=True):
        plan = FastV(budget=budget, layer=layer).plan(MANY)
        assert layer_average(plan, MANY, L) == pytest.approx(average, abs=6e-5)


@pytest.mark.parametrize(
    ("layers", "budgets"),
    [
        ((7, 14, 21), (0.2973, None, None)),
        ((4, 11, 18), (0.4705, 0.2395, None)),
        ((2, 9, 18), (0.5363, 0.3636, 0.1324)),
        ((2, 8, 14), (0.5670, 0.3977, 0.1529)),
    ],
)
def test_pyramiddrop(layers: tuple[int, ...], budgets: tuple[float | None, ...]) -> None:
    method = PyramidDrop(layer=layers[0], later=layers[1:])
    for average, budget in zip(AVERAGES, budgets, strict=True):
        if budget is None:
            with pytest.raises(InputError, match="earlier layer"):
                method.at_average(average, MANY, L)
        else:
            assert method.at_average(average, MANY, L).budget == pytest.approx(budget, abs=1e-4)


@pytest.mark.parametrize(
    ("layers", "budgets"),
    [((3, 16, 22), (0.4401, 0.2242, 0.0083)), ((2, 14, 22), (0.4942, 0.2938, 0.0873))],
)
def test_v2drop(layers: tuple[int, ...], budgets: tuple[float, ...]) -> None:
    method = V2Drop(layer=layers[0], later=layers[1:])
    for average, budget in zip(AVERAGES, budgets, strict=True):
        assert method.at_average(average, MANY, L).budget == pytest.approx(budget, abs=1e-4)


def test_the_authors_own_settings() -> None:
    halves = PyramidDrop(budget=0.5)
    assert halves.plan(576) == [(8, 288), (16, 144), (24, 72)]
    assert PyramidDrop(budget=0.5).plan(729) == [(8, 364), (16, 182), (24, 91)]
    assert layer_average(halves.plan(576), 576, 32) == 0.46875
    assert V2Drop(budget=0.5).plan(576) == [(3, 288), (17, 144), (22, 1)]
    # .3521 where the last token counts as none
    assert layer_average(V2Drop(budget=0.5).plan(576), 576, 32) == pytest.approx(0.3521, abs=6e-4)
    assert [DART(budget=b / 729).plan(729)[0][1] for b in (257, 162, 81)] == [260, 164, 84]
    assert [VTW().at_average(rho, 729, L).layer for rho in AVERAGES] == [10, 6, 3]


@given(st.integers(8, 3000), st.floats(0.2, 1.0), st.integers(0, 4), st.integers(24, 40))
def test_a_single_cut_is_within_half_a_token(n: int, average: float, layer: int, deep: int) -> None:
    found = IWP(layer=layer).at_average(average, n, deep)
    assert abs(tokens_read(found.plan(n), n, deep) / deep - average * n) <= 0.5 + 1e-6


@given(st.integers(1, 300), st.floats(0.3, 1.0))
def test_what_is_reported_is_what_is_reached(n: int, average: float) -> None:
    def plan(budget: float) -> list[tuple[int, int]]:
        return [(2, 8 * int(budget * n / 8))]  # shares of eight

    budget, reached = budget_for(average, plan, n, L)
    assert reached == layer_average(plan(budget), n, L)
    assert abs(reached - average) * n <= 8


@pytest.mark.parametrize("average", [0.0, -0.1, 1.1, float("nan")])
def test_no_average(average: float) -> None:
    with pytest.raises(InputError, match="fraction"):
        FastV().at_average(average, 100, L)


def test_without_tokens_or_cuts() -> None:
    assert layer_average([], 0, L) == layer_average([], 5, L) == 1.0
    assert layer_average([(L, 1)], 5, L) == 1.0
    assert layer_average([(0, 1)], 4, L) == 0.25


@pytest.mark.parametrize("method", PRUNERS.values(), ids=PRUNERS)
def test_every_method_leaves_what_it_plans(method: Any) -> None:
    network, inputs = tiny.model(), tiny.inputs()
    pruners = [made(method, budget=0.3, layer=2)]
    if "later" in method.__dataclass_fields__:
        pruners.append(method(budget=0.5, layer=1, later=(3, 4)))
    for pruner in pruners:
        with prune(network, pruner) as trace:
            network(**inputs)
        cuts = [(cut.layer, len(cut.kept)) for cut in trace.cuts]
        assert cuts == list(pruner.plan(trace.n_visual[0]))
