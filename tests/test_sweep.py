"""One prompt at a row of budgets, on a tiny random model."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import iwp
from iwp import report
from iwp.engine import Engine, choose_method
from iwp.errors import DeadlineError, InputError
from iwp.events import Stage, Swept
from iwp.pruners import IWP, PRUNERS
from iwp.run import Brake
from iwp.settings import Settings
from iwp.sweep import BUDGETS, in_order, sweep
from iwp.types import Media
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.adapters.base import VLM
    from iwp.results import Sweep
    from iwp.run import Run
    from iwp.session import Session

MEDIA = Media((tiny.picture(),))


@pytest.fixture(scope="module")
def vlm(tiny_folder: Path) -> VLM:
    loaded = iwp.load(str(tiny_folder), device="cpu")
    return replace(loaded, pruner={"layer": 2, "bandwidth": "median"})


@pytest.fixture(scope="module")
def engine(vlm: VLM) -> Engine:
    return Engine(vlm, Settings(max_new_tokens=5))


def ranked(engine: Engine, name: str = "iwp") -> Session:
    method = choose_method(engine.vlm, 0.5, name)
    return engine.rank(MEDIA, "What is it?", method=method).session


def last(run: Run) -> Sweep:
    *_, event = run
    assert isinstance(event, Swept)
    assert event.ended == "done"
    return event.sweep


def test_budgets_go_down_from_everything() -> None:
    assert in_order([0.1, 0.5, 0.1]) == (1.0, 0.5, 0.1)
    assert in_order(BUDGETS) == BUDGETS
    with pytest.raises(InputError, match="Keep between"):
        in_order([0.5, 0])


@pytest.mark.parametrize("name", PRUNERS)
def test_every_budget_is_answered_as_a_comparison_answers_it(engine: Engine, name: str) -> None:
    method = choose_method(engine.vlm, 0.5, name)
    found = last(engine.sweep(ranked(engine, name), [0.5, 0.2]))
    assert [point.budget for point in found.points] == [1.0, 0.5, 0.2]
    for point in found.points[1:]:
        alone = engine.compare(MEDIA, "What is it?", point.budget, method=method).result()
        assert point.answer.answer == alone.pruned.answer
        assert point.answer.visual_tokens == alone.pruned.visual_tokens
        assert point.kept_share == pytest.approx(alone.kept_share)
        assert point.layer_average == pytest.approx(alone.layer_average)
        assert point.fidelity.first_token_kl == pytest.approx(
            alone.fidelity.first_token_kl, rel=1e-3, abs=1e-6
        )
        if method.nested:
            assert point.fidelity.dual_weight_error == alone.fidelity.dual_weight_error
        else:
            assert point.fidelity.dual_weight_error is None
        assert point.answer.kv_bytes == alone.pruned.kv_bytes
    whole = found.points[0]
    assert (whole.agreement, whole.fidelity.same_answer) == (1.0, True)
    assert whole.answer.answer == alone.baseline.answer


def test_what_was_shared_is_counted_once_and_said(engine: Engine) -> None:
    found = last(engine.sweep(ranked(engine), [0.2]))
    assert found.shared_layers == 2
    assert found.shared_s > 0
    for point in found.points:
        timing = point.answer.timing
        assert timing.prefill_s == pytest.approx(point.own_prefill_s + found.shared_s)
        assert timing.first_token_s >= found.encode_s + timing.prefill_s
        assert timing.total_s >= timing.first_token_s
    assert "first 2 decoder layers were read once" in report.sweep_notes(found)[0]
    assert "budget=" not in found.method


def test_a_model_that_shares_nothing_is_swept_too(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = last(engine.sweep(ranked(engine), [0.2]))

    def refused(*_: object, **__: object) -> None:
        raise iwp.errors.IWPError("This model adds features to later layers.")

    monkeypatch.setattr("iwp.sweep.Trunk", refused)
    alone = last(engine.sweep(ranked(engine), [0.2]))
    assert (alone.shared_layers, alone.shared_s) == (0, 0.0)
    assert [p.answer.answer for p in alone.points] == [p.answer.answer for p in shared.points]
    assert "no decoder layer was shared" in report.sweep_notes(alone)[0]


def test_a_stop_keeps_the_budgets_that_are_there(engine: Engine) -> None:
    brake = Brake(60)
    steps = sweep(engine.vlm, ranked(engine), in_order([0.5, 0.2]), brake)
    assert next(steps) == Stage("sweeping")
    first = next(steps)
    assert isinstance(first, Swept)
    assert first.ended is None
    brake.press()
    (end,) = steps
    assert end == Swept(first.sweep, "stopped")
    assert [point.budget for point in first.sweep.points] == [1.0]


def test_a_deadline_before_the_first_answer_is_an_error(vlm: VLM, engine: Engine) -> None:
    session = ranked(engine)
    with pytest.raises(DeadlineError, match="no answer within"):
        list(Engine(vlm, Settings(deadline_s=1e-9)).sweep(session))


def test_averages_out_of_reach_are_named(engine: Engine) -> None:
    session = ranked(engine)
    average = replace(session, contest=replace(session.contest, convention="average"))
    found = last(engine.sweep(average, [0.7, 0.05]))
    assert [point.budget for point in found.points] == [1.0, 0.7]
    assert found.points[1].layer_average == pytest.approx(0.7, abs=0.02)
    assert found.out_of_reach == (0.05,)
    assert "Out of reach of this method as a layer average: 5.0 %." in report.sweep_notes(found)


def test_a_sweep_crosses_to_another_process(engine: Engine) -> None:
    found = last(engine.sweep(ranked(engine), [0.2]))
    assert pickle.loads(pickle.dumps(Swept(found, None))).sweep == found


def test_the_table_has_a_row_for_each_budget(engine: Engine) -> None:
    found = last(engine.sweep(ranked(engine), [0.2]))
    head, whole, part = report.sweep_rows(found)
    assert len(head) == len(whole) == len(part)
    assert whole[:3] == ("100.0 %", f"{found.n_visual} of {found.n_visual}", "100.0 %")
    assert part[0] == "20.0 %"
    table = report.sweep_table(found, IWP(layer=2))
    assert table.startswith("Budget")
    assert table.endswith(", IWP(layer=2)")
