"""Two methods against each other on a tiny random model, at one budget in either convention."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import iwp
from iwp.engine import Engine, choose_method
from iwp.errors import InputError
from iwp.events import Done, Event, Ranked, SideDone, Stage, Text
from iwp.results import Fidelity
from iwp.settings import Settings
from iwp.types import Media
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.adapters.base import VLM
    from iwp.run import Run

QUESTION = "What is it?"
MEDIA = Media((tiny.picture(),))
TOKENS = 4
BOTH = ["baseline", "SideDone", "pruned", "SideDone", "Done"]


@pytest.fixture(scope="module")
def vlm(tiny_folder: Path) -> VLM:
    loaded = iwp.load(str(tiny_folder), device="cpu")
    return replace(loaded, pruner={"layer": 2, "bandwidth": "median"})


@pytest.fixture(scope="module")
def engine(vlm: VLM) -> Engine:
    return Engine(vlm, Settings(max_new_tokens=TOKENS))


def _kinds(events: list[Event]) -> list[str]:
    told = [event for event in events if not isinstance(event, Text)]
    return [event.name if isinstance(event, Stage) else type(event).__name__ for event in told]


def _done(run: Run) -> Done:
    last = list(run)[-1]
    assert isinstance(last, Done)
    return last


# --- two methods -------------------------------------------------------------------------


def test_both_sides_are_ranked_then_answered(engine: Engine, vlm: VLM) -> None:
    fastv, uniform = choose_method(vlm, 1, "fastv"), choose_method(vlm, 1, "uniform")
    events = list(engine.compare(MEDIA, QUESTION, 0.25, method=fastv, against=uniform))
    assert _kinds(events) == ["encoding", "ranking", "Ranked", *BOTH]
    ranked = next(event for event in events if isinstance(event, Ranked))
    alone = engine.rank(MEDIA, QUESTION, method=uniform).ranking
    assert ranked.rival is not None
    assert ranked.rival.ranks.tolist() == alone.ranks.tolist()
    assert ranked.ranking.ranks.tolist() != alone.ranks.tolist()
    kept = {event.side: event.kept for event in events if isinstance(event, SideDone)}
    done = events[-1]
    assert isinstance(done, Done)
    assert done.result.rival is not None
    assert kept == {"baseline": done.result.rival.kept, "pruned": done.result.kept}


def test_the_left_side_is_a_pruned_run_of_its_own(engine: Engine, vlm: VLM) -> None:
    fastv, uniform = choose_method(vlm, 1, "fastv"), choose_method(vlm, 1, "uniform")
    result = engine.compare(MEDIA, QUESTION, 0.25, method=fastv, against=uniform).result()
    mirrored = engine.compare(MEDIA, QUESTION, 0.25, method=uniform, against=fastv).result()
    alone = engine.compare(MEDIA, QUESTION, 0.25, method=uniform).result()
    rival = result.rival
    assert rival is not None
    assert (rival.kept, rival.ranks) == (mirrored.kept, mirrored.ranks) == (alone.kept, alone.ranks)
    assert rival.method == mirrored.method
    assert (rival.kept_share, rival.layer_average) == (alone.kept_share, alone.layer_average)
    left, right = result.baseline, alone.pruned
    assert (left.answer, left.visual_tokens, left.kv_bytes) == (
        right.answer,
        right.visual_tokens,
        right.kv_bytes,
    )
    assert left.timing.selection_s > 0
    assert left.visual_tokens == iwp.keep_count(result.n_visual, 0.25)


def test_what_is_held_against_the_baseline_is_left_out(engine: Engine, vlm: VLM) -> None:
    method, rival = choose_method(vlm, 1), choose_method(vlm, 1, "random")
    against = engine.compare(MEDIA, QUESTION, 0.25, method=method, against=rival).result()
    alone = engine.compare(MEDIA, QUESTION, 0.25, method=method).result()
    assert alone.rival is None
    assert alone.fidelity.first_token_kl is not None
    assert alone.fidelity.dual_weight_error is not None
    same = against.baseline.answer == against.pruned.answer
    assert against.fidelity == Fidelity(None, None, None, same)


def test_two_methods_have_the_odds_of_their_first_tokens(engine: Engine, vlm: VLM) -> None:
    method, rival = choose_method(vlm, 1), choose_method(vlm, 1, "random")
    against = engine.compare(MEDIA, QUESTION, 0.25, method=method, against=rival).result()
    alone = engine.compare(MEDIA, QUESTION, 0.25, method=rival).result()
    ours = {one.token: one.baseline for one in against.first_token}
    theirs = {one.token: one.pruned for one in alone.first_token}
    common = ours.keys() & theirs.keys()
    assert common
    assert {token: ours[token] for token in common} == {token: theirs[token] for token in common}


@pytest.mark.parametrize("name", iwp.PRUNERS)
def test_errors_are_told_of_one_cut_that_drops(engine: Engine, vlm: VLM, name: str) -> None:
    method = choose_method(vlm, 1, name)
    fidelity = engine.compare(MEDIA, QUESTION, 0.4, method=method).result().fidelity
    simple = len(method.cuts) == 1 and not method.merges
    assert (fidelity.dual_weight_error is None) is (fidelity.output_error is None) is (not simple)
    assert fidelity.first_token_kl is not None


def test_another_budget_answers_both_sides_again(engine: Engine, vlm: VLM) -> None:
    sides = {"method": choose_method(vlm, 1), "against": choose_method(vlm, 1, "uniform")}
    first = _done(engine.compare(MEDIA, QUESTION, 0.25, **sides))
    events = list(engine.repruned(pickle.loads(pickle.dumps(first.session)), 0.5))
    assert _kinds(events) == BOTH
    again = events[-1]
    assert isinstance(again, Done)
    fresh = engine.compare(MEDIA, QUESTION, 0.5, **sides).result()
    for one, other in zip((again.result, again.result.rival), (fresh, fresh.rival), strict=True):
        assert one is not None
        assert other is not None
        assert (one.kept, one.kept_share, one.layer_average, one.method) == (
            other.kept,
            other.kept_share,
            other.layer_average,
            other.method,
        )
    assert again.result.baseline.answer == fresh.baseline.answer


@pytest.mark.parametrize("name", [name for name, kind in iwp.PRUNERS.items() if not kind.nested])
def test_methods_without_one_order_are_ranked_again(engine: Engine, vlm: VLM, name: str) -> None:
    sides = {"method": choose_method(vlm, 1, name), "against": choose_method(vlm, 1, name)}
    first = _done(engine.compare(MEDIA, QUESTION, 0.3, **sides))
    again = _done(engine.repruned(first.session, 0.7)).result
    fresh = engine.compare(MEDIA, QUESTION, 0.7, **sides).result()
    assert again.rival is not None
    assert again.ranks == again.rival.ranks == fresh.ranks
    assert again.kept == again.rival.kept == fresh.kept


@pytest.mark.parametrize("name", iwp.PRUNERS)
def test_every_method_can_stand_on_the_left(engine: Engine, vlm: VLM, name: str) -> None:
    rival = choose_method(vlm, 1, name)
    result = engine.compare(MEDIA, QUESTION, 0.4, against=rival).result()
    alone = engine.compare(MEDIA, QUESTION, 0.4, method=rival).result()
    assert result.rival is not None
    assert result.rival.kept == alone.kept
    assert result.baseline.answer == alone.pruned.answer


def test_a_stopped_left_side_ends_the_run(engine: Engine, vlm: VLM) -> None:
    run = engine.compare(
        MEDIA, QUESTION, 0.4, against=choose_method(vlm, 1, "uniform"), max_new_tokens=10_000
    )
    seen = []
    for event in run:
        seen.append(event)
        if isinstance(event, Text):
            run.stop()
    last = seen[-1]
    assert isinstance(last, SideDone)
    assert (last.side, last.answer.finish) == ("baseline", "stopped")
    assert len(last.kept) == last.answer.visual_tokens


def test_after_the_deadline_both_sides_keep_what_they_have(vlm: VLM) -> None:
    hurried = Engine(vlm, Settings(deadline_s=0.7))
    run = hurried.compare(
        MEDIA, QUESTION, 0.4, against=choose_method(vlm, 1, "uniform"), max_new_tokens=100_000
    )
    result = run.result()
    assert result.rival is not None
    assert (result.baseline.finish, result.pruned.finish) == ("deadline", "deadline")
    assert result.rival.kept_share == len(result.rival.kept) / result.n_visual
    # The right side never read the prompt: nobody knows what it would have kept.
    assert (result.kept_share, result.layer_average) == (None, None)


# --- conventions -------------------------------------------------------------------------


def test_one_cut_by_hand(engine: Engine, vlm: VLM) -> None:
    result = engine.compare(MEDIA, QUESTION, 0.25, method=choose_method(vlm, 1, layer=1)).result()
    n, kept, layers = result.n_visual, len(result.kept), tiny.LAYERS
    assert result.convention == "cut"
    assert result.kept_share == kept / n
    assert result.layer_average == (n + (layers - 1) * kept) / (layers * n)


def test_several_cuts_by_hand(engine: Engine, vlm: VLM) -> None:
    method = iwp.PRUNERS["pyramiddrop"](layer=1, later=(2, 3))
    result = engine.compare(MEDIA, QUESTION, 0.5, method=method).result()
    n = result.n_visual
    read = n + n // 2 + n // 4 + (tiny.LAYERS - 3) * (n // 8)
    assert result.kept_share == (n // 8) / n
    assert result.layer_average == read / (tiny.LAYERS * n)


@pytest.mark.parametrize("name", iwp.PRUNERS)
@pytest.mark.parametrize("average", [0.7, 0.85])
def test_equal_layer_averages_are_reached(
    engine: Engine, vlm: VLM, name: str, average: float
) -> None:
    method, rival = choose_method(vlm, 1, name), choose_method(vlm, 1)
    result = engine.compare(
        MEDIA, QUESTION, average, method=method, against=rival, convention="average"
    ).result()
    n = result.n_visual
    assert (result.budget, result.convention) == (average, "average")
    assert result.rival is not None
    # Half a token a layer; where whole layers or several cuts decide, half of such a step.
    step = {"vtw": 0.5 / tiny.LAYERS}.get(name, 3.0 / n)
    assert result.layer_average == pytest.approx(average, abs=step + 1e-9)
    assert result.rival.layer_average == pytest.approx(average, abs=0.5 / n + 1e-9)


def test_another_average_is_another_budget(engine: Engine, vlm: VLM) -> None:
    vtw = choose_method(vlm, 1, "vtw")
    first = _done(engine.compare(MEDIA, QUESTION, 0.5, method=vtw, convention="average"))
    assert first.result.layer_average == 0.5
    again = _done(engine.repruned(first.session, 0.83)).result
    assert (again.layer_average, again.convention) == (5 / 6, "average")
    whole = _done(engine.repruned(first.session, 1.0)).result
    assert (whole.layer_average, whole.kept_share) == (1.0, 1.0)


def test_an_average_out_of_reach_is_refused(engine: Engine, vlm: VLM) -> None:
    late = choose_method(vlm, 1, layer=3)
    run = engine.compare(MEDIA, QUESTION, 0.1, method=late, convention="average")
    with pytest.raises(InputError, match="IWP cannot bring the layer average down"):
        run.result()
    session = _done(engine.compare(MEDIA, QUESTION, 0.9, convention="average")).session
    with pytest.raises(InputError, match="cannot bring the layer average down"):
        engine.repruned(session, 0.1)


def test_a_convention_that_does_not_exist_is_refused_at_once(engine: Engine) -> None:
    with pytest.raises(InputError, match="cut or average"):
        engine.compare(MEDIA, QUESTION, 0.4, convention="mean")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="auto"):
        engine.compare(MEDIA, QUESTION, "auto", convention="average")


# --- the plain calls ---------------------------------------------------------------------


def test_compare_takes_methods_by_name(vlm: VLM) -> None:
    given = {"convention": "average", "max_new_tokens": 2}
    named = iwp.compare(vlm, MEDIA, QUESTION, 0.6, method="fastv", against="uniform", **given)
    made = iwp.compare(
        vlm,
        MEDIA,
        QUESTION,
        0.6,
        method=choose_method(vlm, 1, "fastv"),
        against=choose_method(vlm, 1, "uniform"),
        **given,
    )
    assert named.rival is not None
    assert (named.method, named.kept, named.rival) == (made.method, made.kept, made.rival)
    assert named.method.startswith("FastV")
    assert named.rival.method.startswith("Uniform")
    order = iwp.rank(vlm, MEDIA, QUESTION, method="uniform")
    assert tuple(order.tolist()) == named.rival.ranks
    with pytest.raises(InputError, match="no method"):
        iwp.compare(vlm, MEDIA, QUESTION, against="magic")
