"""VisionZip, SCOPE and VisPruner: odd inputs, row ends, rankings, refused options."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from iwp.budget import keep_count
from iwp.errors import InputError
from iwp.pruners.scope import SCOPE
from iwp.pruners.visionzip import VisionZip
from iwp.pruners.vispruner import VisPruner
from iwp.types import Tower
from tests.tower_views import drawn, looked_at

METHODS: list[Any] = [VisionZip, SCOPE, VisPruner]
methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


@pytest.mark.parametrize("keep", [257, 162, 81, 1, 2, 728])
def test_vispruner_keeps_as_many_as_asked(keep: int) -> None:
    of = drawn(1, 729)  # 257 and 81 leave an odd list
    kept = VisPruner().select(of, keep)[0]
    assert len(kept.unique()) == keep
    order = of.in_tower.saliency.argsort(descending=True)
    assert set(order[: keep // 2].tolist()) <= set(kept.tolist())


@methods
@pytest.mark.parametrize("case", ["silent", "even", "zero", "same", "bf16"])
def test_no_input_breaks_a_choice(method: Any, case: str) -> None:
    of = drawn(2, 30)
    tower, hidden = of.in_tower, of.hidden.clone()
    if case in ("silent", "even"):
        level = torch.zeros(30) if case == "silent" else torch.full((30,), 0.01)
        of = replace(of, tower=replace(tower, saliency=level))
    elif case == "bf16":
        low = Tower(tower.saliency.bfloat16(), tower.keys.bfloat16())
        of = replace(of, hidden=hidden.bfloat16(), tower=low)
    else:
        rows = 0.0 if case == "zero" else hidden[2].clone()
        hidden[of.visual[:20]], keys = rows, tower.keys.clone()
        keys[:20] = 0.0 if case == "zero" else keys[0].clone()
        of = replace(of, hidden=hidden, tower=Tower(tower.saliency, keys))
    for budget in (0.01, 0.1, 0.5, 0.97, 1.0):
        choice, again = method(budget=budget).choose(of), method(budget=budget).choose(of)
        assert len(choice.kept.unique()) == len(choice.kept) == keep_count(30, budget)
        assert torch.equal(choice.kept, again.kept)
        if choice.scores is not None:
            assert choice.scores.dtype == torch.float32
            assert choice.scores.isfinite().all()
        if choice.rows is not None:
            assert choice.rows.dtype == torch.float32
            assert choice.rows.isfinite().all()
            assert torch.equal(choice.rows, again.rows)


@methods
def test_a_picture_of_one_token(method: Any) -> None:
    of = drawn(3, 1)
    assert method().choose(of).kept.tolist() == [0]
    assert method().select(of, 1)[0].tolist() == [0]
    assert method().rank(of).ranks.tolist() == [0]


@methods
def test_the_whole_budget_changes_nothing(method: Any) -> None:
    choice = method(budget=1.0).choose(drawn(4, 20))
    assert choice.kept.tolist() == list(range(20))
    assert choice.rows is choice.into is choice.sizes is None
    assert sorted(method(budget=1.0).rank(drawn(4, 20)).ranks.tolist()) == list(range(20))


@methods
def test_a_ranking_begins_with_what_is_kept(method: Any) -> None:
    of = drawn(5, 40, with_ends=True)
    for separators in ("prunable", "kept"):
        for budget in (0.1, 0.222, 0.6, 0.9):
            pruner = method(budget=budget, separators=separators)
            kept, ranks = pruner.choose(of).kept, pruner.rank(of).ranks
            assert sorted(ranks.tolist()) == list(range(40))
            assert torch.equal(kept, (ranks < len(kept)).nonzero().flatten())
            assert torch.equal(pruner.select(of, keep_count(40, budget))[0], kept)


@methods
def test_row_ends_are_last_or_kept(method: Any) -> None:
    of = drawn(6, 40, with_ends=True)  # 8 of 40 end a row
    ends = set(of.separators.tolist())
    without = method(budget=0.25).choose(of)
    assert len(set(without.kept.tolist()) & ends) <= (1 if method is VisPruner else 0)
    chosen = method(budget=0.4, separators="kept").choose(of)
    assert ends < set(chosen.kept.tolist())
    assert len(chosen.kept) == 16
    if method is VisionZip:
        for choice in (without, chosen):
            others = [i for i in range(40) if i not in ends]
            assert set(choice.into[others].tolist()) <= set(choice.kept.tolist()) - ends
        assert set(without.into[of.separators].tolist()) == {-1}
        assert torch.equal(chosen.into[of.separators], of.separators)
        last = VisionZip(budget=0.9).choose(of)  # all others and four row ends: nothing merges
        assert last.kept.tolist() == sorted(
            [*range(40)][:20] + [i for i in range(20, 40) if i % 5 != 4]
        )
        assert last.rows is None


def test_low_precision_changes_the_input_only() -> None:
    of = drawn(7, 50)
    low = replace(of, hidden=of.hidden.bfloat16())
    same = replace(of, hidden=low.hidden.float())
    for method in (SCOPE, VisPruner):
        assert torch.equal(method().select(low, 20)[0], method().select(same, 20)[0])
    torch.testing.assert_close(VisionZip().choose(low).rows, VisionZip().choose(same).rows)


def test_high_powers_of_the_saliency_choose_by_it() -> None:
    of = drawn(8, 30)
    order = SCOPE(alpha=40.0).order(looked_at(of.hidden[of.visual], torch.linspace(1, 2, 30)), 1)[0]
    assert order.tolist() == [29]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (SCOPE, {"alpha": -1.0}),
        (SCOPE, {"alpha": math.nan}),
        (VisPruner, {"important": 1.1}),
        (VisPruner, {"important": math.nan}),
        (VisionZip, {"joining": "max"}),
        *((method, {"separators": "gone"}) for method in METHODS),
    ],
)
def test_options_that_do_not_exist_are_refused(method: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        method(**options)


@methods
def test_without_a_tower_there_is_no_choice(method: Any) -> None:
    with pytest.raises(ValueError, match="tower"):
        method().choose(replace(drawn(0, 9), tower=None))
