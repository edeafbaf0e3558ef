"""Batches answered with every visual token and pruned, and the figures of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from iwp.budget import keep_count
from iwp.contest import Contest
from iwp.engine import choose_method
from iwp.evals.answerer import Answerer, Reply
from iwp.evals.conversations import Conversation
from iwp.evals.figures import Figures, of_trace
from iwp.pruners import IWP, PRUNERS, Pruner, PyramidDrop
from iwp.types import Convention, Cut, Trace
from tests import tiny
from tests.evals.asking import asked, vlm

MAIN = ("llava_onevision", "qwen2_5_vl")
GIVEN = {"max_new_tokens": 6, "temperature": 0}
IWP_30 = IWP(0.3, layer=2)

every_family = pytest.mark.parametrize("name", MAIN)


def _answerer(name: str, method: Pruner | None, convention: Convention = "cut") -> Answerer:
    contest = None if method is None else Contest(method, None, method.budget, convention)
    return Answerer(vlm(name), contest)


def _rows(name: str, video: str) -> list[Conversation]:
    """One picture, several, none, a video."""
    first, second = tiny.picture(70, 50), tiny.picture(40, 90, seed=1)
    return [
        asked(name, "What is it?", first),
        asked(name, "And which of the two is it?", first, second),
        asked(name, "No picture here."),
        asked(name, "What?", second),
        asked(name, "What happens?", url=video),
    ]


def _close(a: Figures, b: Figures) -> bool:
    same = (a.prompts, a.visual_tokens, a.new_tokens) == (b.prompts, b.visual_tokens, b.new_tokens)
    return same and (a.kept, a.read) == pytest.approx((b.kept, b.read))


@every_family
@pytest.mark.parametrize("method", ["full", *PRUNERS])
def test_a_batch_is_answered_like_its_questions_alone(name: str, method: str, video: str) -> None:
    rows = _rows(name, video)
    pruner = None if method == "full" else choose_method(vlm(name), 0.4, method)
    together, alone = _answerer(name, pruner), _answerer(name, pruner)
    replies = together.answer(rows, GIVEN)
    assert replies == [alone.answer([row], GIVEN)[0] for row in rows]
    assert _close(together.figures, alone.figures)
    assert together.figures.prompts == 4  # one shows nothing
    assert len({reply.text for reply in replies}) > 1


@every_family
def test_pruning_is_what_changes_the_answers(name: str, video: str) -> None:
    rows = _rows(name, video)
    full, pruned = (_answerer(name, m).answer(rows, GIVEN) for m in (None, IWP(0.05, layer=1)))
    assert full[2] == pruned[2]  # there is nothing to prune without a picture
    assert full != pruned


@every_family
def test_the_figures_are_those_of_the_budget(name: str) -> None:
    row = asked(name, "What is it?", tiny.picture(70, 50))
    answerer = _answerer(name, IWP_30)
    answerer.answer([row, row], GIVEN)
    n, layers = answerer.figures.visual_tokens // 2, 6
    kept = keep_count(n, 0.3)
    assert answerer.figures.shares == {
        "visual_tokens": n,
        "kept_share": pytest.approx(kept / n),
        "layer_average": pytest.approx((2 * n + 4 * kept) / (layers * n)),
    }
    full = _answerer(name, None)
    full.answer([row], GIVEN)
    assert full.figures.shares == {"visual_tokens": n, "kept_share": 1.0, "layer_average": 1.0}


@every_family
@pytest.mark.parametrize("method", [IWP(0.5, layer=2), PyramidDrop(0.5, 1, (2, 4))])
def test_a_layer_average_is_reached_for_every_prompt(name: str, method: Pruner, video: str) -> None:
    rows = _rows(name, video)
    answerer, alone = (_answerer(name, method, "average") for _ in range(2))
    replies = answerer.answer(rows, GIVEN)
    assert replies == [alone.answer([row], GIVEN)[0] for row in rows]
    # Whole tokens: half of one in a prompt's few dozen.
    assert answerer.figures.shares["layer_average"] == pytest.approx(0.5, abs=0.02)


def test_questions_that_only_pad_a_share_do_not_count() -> None:
    rows = [asked("llava_onevision", "What?", tiny.picture(40 + 30 * i, 50)) for i in range(3)]
    some, first = (_answerer("llava_onevision", IWP_30) for _ in range(2))
    replies: list[Reply] = some.answer(rows, GIVEN, uncounted=(1, 2))
    assert len(replies) == 3
    first.answer(rows[:1], GIVEN)
    assert _close(some.figures, first.figures)


@pytest.mark.parametrize("beams", [1, 3])
def test_beams_count_once(beams: int) -> None:
    rows = [asked("llava_onevision", "What?", tiny.picture(40 + 30 * i, 50)) for i in range(2)]
    answerer = _answerer("llava_onevision", IWP_30)
    answerer.answer(rows, {**GIVEN, "num_beams": beams}, uncounted=(0,))
    alone = _answerer("llava_onevision", IWP_30)
    alone.answer(rows[1:], {**GIVEN, "num_beams": beams})
    assert _close(answerer.figures, alone.figures)


def test_sampling_follows_the_seed() -> None:
    rows = [asked("llava_onevision", "What?", tiny.picture())]
    hot = {"max_new_tokens": 8, "temperature": 5.0}

    def said(seed: int) -> str:
        torch.manual_seed(seed)
        return _answerer("llava_onevision", IWP_30).answer(rows, hot)[0].text

    assert said(1) == said(1)
    assert len({said(seed) for seed in range(4)}) > 1


def _cuts(*kept: Sequence[int]) -> list[Cut]:
    return [
        Cut(layer, torch.arange(m)) for layer, row in zip((2, 4), kept, strict=False) for m in row
    ]


def test_figures_by_hand() -> None:
    # Ten layers; 100 and 50 tokens; 40 and 10 after layer 2, 20 and 5 after layer 4.
    trace = Trace([100, 50, 0], _cuts((40, 10, 0), (20, 5, 0)))
    first = (2 * 100 + 2 * 40 + 6 * 20) / 1000
    second = (2 * 50 + 2 * 10 + 6 * 5) / 500
    assert of_trace(trace, 10, [0]) == Figures(1, 100, 0.2, first)
    both = of_trace(trace, 10, [0, 1, 2])
    assert both == Figures(2, 150, pytest.approx(0.3), pytest.approx(first + second))
    assert of_trace(Trace([7]), 10, [0]) == Figures(1, 7, 1.0, 1.0)
    assert "15.00%" in both.told
    assert Figures().shares == {}
    assert Figures().told == "nothing was shown"
