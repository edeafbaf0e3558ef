"""Work shared between settings: what each keeps and answers stays its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from iwp import adapters, generate
from iwp.adapters.base import VLM, Inputs
from iwp.engine import choose_method
from iwp.pruners import IWP, PRUNERS, Random
from iwp.scenes import exam
from iwp.scenes.evidence import Oracle
from iwp.scenes.examinee import Given, Shared, answer
from iwp.scenes.together import decode_together
from iwp.trunk import Trunk
from tests import tiny
from tests.test_generate import embedded

BUDGETS = (0.353, 0.111, 0.03)
STEPS = 5


@pytest.fixture(scope="module")
def demo() -> VLM:
    torch.set_num_threads(1)
    return adapters.load("demo", device="cpu")


@pytest.fixture(scope="module")
def asked(demo: VLM) -> Inputs:
    """A question about a small picture, with what the vision tower says."""
    small = (item for item in exam.items(2, 9, ("where",)) if item.scene.size == (196, 196))
    item = next(small)
    prepared = demo.adapter.prepare(item.media, item.questions[0].text)
    return demo.adapter.inputs(prepared, *demo.adapter.encode_and_look(prepared))


@pytest.mark.parametrize("name", PRUNERS)
def test_each_method_keeps_and_answers_as_if_it_were_alone(
    demo: VLM, asked: Inputs, name: str
) -> None:
    pruners = [choose_method(demo, budget, name) for budget in BUDGETS]
    shared = Shared(demo, asked)
    answers = shared.answers(pruners)
    for pruner, found in zip(pruners, answers, strict=True):
        state = generate.prefill(demo.model, **asked, pruner=pruner)
        assert shared.kept(pruner) == tuple(state.trace.cuts[0].kept.tolist())
        alone = answer(demo, asked, pruner)
        assert found.text == alone.text
        assert found.layer_average == alone.layer_average
        assert found.kept is not None
        assert alone.kept is not None
        assert found.kept.equal(alone.kept)


def test_many_methods_answer_together_as_alone(demo: VLM, asked: Inputs) -> None:
    pruners = [
        None,
        *(
            choose_method(demo, b, m)
            for m in ("iwp", "random", "uniform", "fastv")
            for b in BUDGETS
        ),
        Oracle(0.111, 4, (1, 2, 3)),
        IWP(budget=1.0, layer=4),
        IWP(budget=0.2, layer=8),  # after the last layer: no cut at all
    ]
    found = Shared(demo, asked).answers(pruners)
    alone = [answer(demo, asked, pruner) for pruner in pruners]
    assert [one.text for one in found] == [one.text for one in alone]
    assert [one.layer_average for one in found] == [one.layer_average for one in alone]


def test_a_nested_method_ranks_once(
    demo: VLM, asked: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked: list[float] = []
    real = IWP.rank
    monkeypatch.setattr(IWP, "rank", lambda self, view: ranked.append(1) or real(self, view))
    Shared(demo, asked).answers([choose_method(demo, budget) for budget in BUDGETS])
    assert len(ranked) == 1


def test_equal_choices_have_one_answer(
    demo: VLM, asked: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts: list[Any] = []
    real = Trunk.prefill
    monkeypatch.setattr(
        Trunk, "prefill", lambda self, pruner=None: cuts.append(pruner) or real(self, pruner)
    )
    answers = Shared(demo, asked).answers([choose_method(demo, b, "vtw") for b in BUDGETS])
    assert len(cuts) == 1
    assert len(answers) == 3
    assert answers[0] is answers[2]


@pytest.mark.parametrize("keep", [3, 17])
def test_a_batch_decodes_what_each_prompt_decodes_alone(keep: int) -> None:
    model = tiny.model(attention="sdpa")
    embeds, visual = embedded(model, tiny.inputs())
    trunk = Trunk(model, embeds, visual, 2)
    orders = [
        torch.randperm(len(visual), generator=torch.Generator().manual_seed(s)) for s in (1, 2, 3)
    ]
    given = [Given(layer=2, kept=tuple(sorted(order[:keep].tolist()))) for order in orders]
    alone = [list(generate.decode(model, trunk.prefill(one), STEPS, ())) for one in given]
    assert len({tuple(ids) for ids in alone}) > 1
    together = decode_together(model, [trunk.prefill(one) for one in given], STEPS, ())
    assert together == alone
    stop = alone[0][2]
    short = [list(generate.decode(model, trunk.prefill(one), STEPS, {stop})) for one in given]
    assert decode_together(model, [trunk.prefill(o) for o in given], STEPS, {stop}) == short
    assert len(short[0]) < STEPS


def test_a_given_choice_ranks_what_it_keeps_first() -> None:
    model = tiny.model(attention="sdpa")
    embeds, visual = embedded(model, tiny.inputs())
    ranking = generate.rank(model, embeds, visual, Given(layer=1, kept=(2, 5)))
    assert ranking.ranks[[2, 5]].tolist() == [0, 1]
    assert Random(layer=1) != Given(layer=1)


def test_a_question_that_all_have_answered_is_left_out(demo: VLM) -> None:
    items = list(exam.items(6, 1, ("read", "color")))
    settings = [exam.Setting("full", None), exam.Setting("iwp", choose_method(demo, 0.111))]
    whole = list(exam.sit(demo, items, settings))
    rest = list(exam.sit(demo, items, settings, {0: ["full", "iwp"], 1: ["iwp"]}))
    assert [record.question for record in whole] == [0, 1]
    assert [record.question for record in rest] == [1]
    assert rest[0].said == {"full": whole[1].said["full"]}
    assert whole[0].said["iwp"].kept == pytest.approx(0.111, abs=0.001)
    assert whole[0].said["iwp"].layer_average == pytest.approx(0.5555, abs=0.001)
