"""The engine on a tiny random model: events, answers, budgets and bad input."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

import iwp
from iwp.engine import Engine, choose_method
from iwp.errors import InputError, IWPError
from iwp.events import Done, Event, Ranked, SideDone, Stage, Text
from iwp.settings import Settings
from iwp.types import Media
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.adapters.base import VLM
    from iwp.run import Run

QUESTION = "What is it?"
MEDIA = Media((tiny.picture(),))
TOKENS = 6


@pytest.fixture(scope="module")
def vlm(tiny_folder: Path) -> VLM:
    loaded = iwp.load(str(tiny_folder), device="cpu")
    return replace(loaded, pruner={"layer": 2, "bandwidth": "median"})


@pytest.fixture(scope="module")
def engine(vlm: VLM) -> Engine:
    return Engine(vlm, Settings(max_new_tokens=TOKENS))


def _kinds(events: list[Event]) -> list[str]:
    """The events' names without the texts, a stage by its own name."""
    told = [event for event in events if not isinstance(event, Text)]
    return [event.name if isinstance(event, Stage) else type(event).__name__ for event in told]


def _done(run: Run) -> Done:
    last = list(run)[-1]
    assert isinstance(last, Done)
    return last


def _same(left: Done, right: Done) -> bool:
    return (left.result.pruned.answer, left.result.kept) == (
        right.result.pruned.answer,
        right.result.kept,
    )


# --- events ------------------------------------------------------------------------------


def test_fidelity_is_measured_at_the_kept_tokens(engine: Engine) -> None:
    done = _done(engine.compare(MEDIA, QUESTION, 0.25))
    result, ranking = done.result, done.session.ranking
    assert ranking.weight_errors is not None
    assert ranking.output_errors is not None
    kept = len(result.kept)
    assert result.fidelity.dual_weight_error == float(ranking.weight_errors[kept])
    assert result.fidelity.output_error == float(ranking.output_errors[kept])
    assert ranking.weight_errors.shape == ranking.output_errors.shape == (result.n_visual + 1,)
    assert float(ranking.weight_errors[-1]) == float(ranking.output_errors[-1]) == 0.0
    same = result.baseline.answer == result.pruned.answer
    assert result.fidelity.same_answer is same
    assert result.exponent == ranking.exponent


def test_the_first_token_has_its_odds_on_both_sides(engine: Engine) -> None:
    done = _done(engine.compare(MEDIA, QUESTION, 0.25))
    odds = done.result.first_token
    assert 3 <= len(odds) <= 6
    assert odds[0].baseline == max(one.baseline for one in odds)
    assert all(0 < share < 1 for one in odds for share in (one.baseline, one.pruned))
    again = _done(engine.repruned(done.session, 1.0)).result.first_token
    assert again[0].token == odds[0].token
    for one in again:
        assert one.pruned == pytest.approx(one.baseline, rel=1e-4)


def test_every_token_has_its_nearest_duplicate(engine: Engine) -> None:
    twins = engine.rank(MEDIA, QUESTION).ranking.twins
    assert twins is not None
    assert twins.shape == engine.rank(MEDIA, QUESTION).ranking.ranks.shape
    assert twins.device.type == "cpu"
    assert int((twins != torch.arange(len(twins))).sum()) > len(twins) / 2


def test_nothing_is_lost_where_every_token_is_kept(engine: Engine) -> None:
    fidelity = _done(engine.compare(MEDIA, QUESTION, 1.0)).result.fidelity
    assert fidelity.dual_weight_error == fidelity.output_error == fidelity.first_token_kl == 0.0
    assert fidelity.same_answer is True


def test_wide_keys_are_told_only_under_the_fixed_width(vlm: VLM) -> None:
    wide = Engine(vlm, Settings(max_new_tokens=1))
    literal = choose_method(replace(vlm, pruner={"layer": 2}), 0.25)
    result = _done(wide.compare(MEDIA, QUESTION, 0.25, method=literal)).result
    assert result.exponent is not None
    assert (result.warning is None) == (result.exponent <= 8)
    assert _done(wide.compare(MEDIA, QUESTION, 0.25)).result.warning is None  # median


def test_a_comparison_tells_the_overlay_first_then_baseline_then_pruned(engine: Engine) -> None:
    events = list(engine.compare(MEDIA, QUESTION, 0.25))
    assert _kinds(events) == [
        *("encoding", "ranking", "Ranked", "baseline", "SideDone", "pruned", "SideDone", "Done")
    ]
    for side in ("baseline", "pruned"):
        texts = [e.text for e in events if isinstance(e, Text) and e.side == side]
        answer = next(e.answer for e in events if isinstance(e, SideDone) and e.side == side)
        assert texts[-1] == answer.answer
        assert len(texts) == answer.n_tokens == TOKENS
        assert answer.finish == "length"


def test_the_result_is_what_the_events_said(engine: Engine) -> None:
    events = list(engine.compare(MEDIA, QUESTION, 0.25))
    ranked = next(event for event in events if isinstance(event, Ranked))
    done = events[-1]
    assert isinstance(done, Done)
    result = done.result
    keep = iwp.keep_count(result.n_visual, 0.25)
    assert result.n_visual == ranked.layout.n == len(result.ranks)
    assert result.ranks == tuple(ranked.ranking.ranks.tolist())
    assert result.kept == tuple(i for i, rank in enumerate(result.ranks) if rank < keep)
    assert result.pruned.visual_tokens == keep
    assert result.baseline.visual_tokens == result.n_visual
    assert done.session.baseline == result.baseline
    assert result.budget == 0.25
    assert "layer=2" in result.method


def test_the_answers_are_those_of_stock_generate(vlm: VLM, engine: Engine) -> None:
    result = engine.compare(MEDIA, QUESTION, 0.25).result()
    inputs = tiny.inputs(QUESTION, MEDIA.frames[0])
    prompt = inputs["input_ids"].shape[1]
    wanted = {"max_new_tokens": TOKENS, "do_sample": False}

    ids = vlm.model.generate(**inputs, **wanted)[0, prompt:]
    assert result.baseline.answer == vlm.adapter.decode_text(ids.tolist())
    with iwp.prune(vlm.model, choose_method(vlm, 0.25)) as trace:
        ids = vlm.model.generate(**inputs, **wanted)[0, prompt:]
    assert result.pruned.answer == vlm.adapter.decode_text(ids.tolist())
    assert result.kept == tuple(trace.cuts[-1].kept.tolist())


@pytest.mark.parametrize("method", iwp.PRUNERS)
def test_every_method_keeps_what_its_ranking_says(engine: Engine, vlm: VLM, method: str) -> None:
    chosen = choose_method(vlm, 1, method)
    result = engine.compare(MEDIA, QUESTION, 0.4, method=chosen).result()
    keep = iwp.keep_count(result.n_visual, 0.4) if chosen.nested else len(result.kept)
    if len(chosen.cuts) > 1:  # the ranking is the first cut's
        assert 1 <= len(result.kept) <= iwp.keep_count(result.n_visual, 0.4)
        assert result.fidelity.dual_weight_error is None
        return
    assert result.kept == tuple(i for i, rank in enumerate(result.ranks) if rank < keep)


def test_the_whole_budget_gives_the_same_answer(engine: Engine) -> None:
    result = engine.compare(MEDIA, QUESTION, 1.0).result()
    assert result.pruned.answer == result.baseline.answer
    assert result.kept == tuple(range(result.n_visual))


def test_the_smallest_budget_keeps_one_token(engine: Engine) -> None:
    result = engine.compare(MEDIA, QUESTION, 1e-9).result()
    assert len(result.kept) == result.pruned.visual_tokens == 1


def test_another_budget_answers_only_the_pruned_side(engine: Engine) -> None:
    first = _done(engine.compare(MEDIA, QUESTION, 0.25))
    events = list(engine.repruned(first.session, 0.5))
    assert _kinds(events) == ["pruned", "SideDone", "Done"]
    again = events[-1]
    assert isinstance(again, Done)
    assert again.result.baseline == first.result.baseline
    assert _same(again, _done(engine.compare(MEDIA, QUESTION, 0.5)))


def test_a_session_without_a_baseline_gets_one(engine: Engine) -> None:
    session = engine.rank(MEDIA, QUESTION).session
    events = list(engine.repruned(session, 0.25))
    assert _kinds(events) == ["baseline", "SideDone", "pruned", "SideDone", "Done"]
    assert isinstance(events[-1], Done)
    assert _same(events[-1], _done(engine.compare(MEDIA, QUESTION, 0.25)))


def test_a_session_can_be_pickled(engine: Engine) -> None:
    done = _done(engine.compare(MEDIA, QUESTION, 0.25))
    copy = pickle.loads(pickle.dumps(done.session))
    assert _same(_done(engine.repruned(copy, 0.25)), done)


def test_page_updates_end_with_the_result(engine: Engine) -> None:
    events = list(engine.compare(MEDIA, QUESTION, 0.25).updates(hz=5))
    assert isinstance(events[-1], Done)
    texts = [event for event in events if isinstance(event, Text)]
    assert texts[-1].text == events[-1].result.pruned.answer


# --- bad input ---------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_a_budget_that_cannot_be_used_is_refused_at_once(engine: Engine, budget: float) -> None:
    session = engine.rank(MEDIA, QUESTION).session
    with pytest.raises(InputError, match="100 %"):
        engine.compare(MEDIA, QUESTION, budget)
    with pytest.raises(InputError, match="100 %"):
        engine.repruned(session, budget)


@pytest.mark.parametrize("question", ["", "  \n", "x" * 100_000])
def test_a_question_that_cannot_be_used_is_refused_at_once(engine: Engine, question: str) -> None:
    with pytest.raises(InputError):
        engine.compare(MEDIA, question, 0.25)
    with pytest.raises(InputError):
        engine.rank(MEDIA, question)


def test_an_answer_has_at_least_one_token(engine: Engine) -> None:
    with pytest.raises(InputError, match="at least 1"):
        engine.compare(MEDIA, QUESTION, 0.25, max_new_tokens=0)
    assert engine.compare(MEDIA, QUESTION, 0.25, max_new_tokens=1).result().pruned.n_tokens == 1


def test_methods_and_layers_that_do_not_exist_are_named(engine: Engine, vlm: VLM) -> None:
    with pytest.raises(InputError, match="iwp, magnitude, random, uniform"):
        choose_method(vlm, 0.25, "magic")
    with pytest.raises(IWPError, match="layer"):
        engine.compare(MEDIA, QUESTION, 0.25, method=choose_method(vlm, 1, layer=99)).result()


def test_the_engine_goes_on_after_a_failure(engine: Engine, vlm: VLM) -> None:
    broken = Media(())
    with pytest.raises(IndexError):
        engine.compare(broken, QUESTION, 0.25).result()
    assert engine.compare(MEDIA, QUESTION, 0.25).result().n_visual > 0


# --- the plain calls ---------------------------------------------------------------------


def test_compare_and_rank_take_pictures_files_and_media(vlm: VLM, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    MEDIA.frames[0].save(file)
    ranks = [iwp.rank(vlm, image, QUESTION) for image in (file, str(file), MEDIA.frames[0], MEDIA)]
    assert all(torch.equal(ranks[0], other) for other in ranks)
    assert sorted(ranks[0].tolist()) == list(range(len(ranks[0])))
    result = iwp.compare(vlm, file, QUESTION, budget=0.25, max_new_tokens=2)
    assert result.ranks == tuple(ranks[0].tolist())
    assert result.pruned.n_tokens == 2
