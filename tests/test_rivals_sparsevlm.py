"""SparseVLM: the authors' counts, the worked example, slow references, plans, degenerate cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iwp.errors import InputError
from iwp.layer_average import layer_average
from iwp.pruners.attention import received
from iwp.pruners.base import LayerView
from iwp.pruners.density_peaks import density_peaks
from iwp.pruners.raters import closeness, rating
from iwp.pruners.sparsevlm import SparseVLM, SparseVLMPlus, split
from iwp.pruning import prune
from iwp.types import Embeddings
from tests import rivals_merging_reference as slow
from tests.families import FAMILIES
from tests.hiding import NEAR, as_chosen, choices_of, dropped_of, hiding_from, visual_columns
from tests.prompts import model, written
from tests.test_pruners_iwp import SEPARATORS, VISUAL, D, N, S, projections, view
from tests.test_rivals_merging import check_rows, groups_of

METHODS = [SparseVLM, SparseVLMPlus]
methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
FREQUENCIES = 10.0 ** -np.arange(D // 2)


def looked_at(seed: int, **changes: Any) -> LayerView:
    """A layer, the one before it, and what entered the decoder."""
    generator = torch.Generator().manual_seed(seed)
    visual, text = torch.randn(N, 4, generator=generator), torch.randn(5, 4, generator=generator)
    embeddings = Embeddings(visual, text)
    return replace(view(seed), previous=view(seed + 10_000), embeddings=embeddings, **changes)


def slow_scores(of: LayerView, corrected: bool) -> np.ndarray:
    at_input, own = of.at_input, projections(of.before)
    numbers = slow.raters(at_input.visual.double().numpy(), at_input.text.double().numpy())
    rows = of.text[torch.tensor(numbers)].tolist()
    paid = slow.attention(own["rq"], own["rk"], rows)[:, :, VISUAL.tolist()]
    if corrected:
        for number, row in enumerate(rows):
            for j, column in enumerate(VISUAL.tolist()):
                paid[:, number, j] /= slow.distance_weight(row - column, FREQUENCIES)
        heads = slow.highest(paid.sum(axis=(1, 2)).tolist(), len(paid) // 2)
        paid = paid[heads]
    return paid.mean(axis=(0, 1))


# --- worked examples and counts ----------------------------------------------------------


def test_words_that_pictures_point_at_are_raters() -> None:
    visual = torch.tensor([[1, 0], [0, 1], [1, 1]]).float()
    text = torch.tensor([[2, 0], [0, 0.5], [0.1, 0.1]])
    assert rating(Embeddings(visual, text)).tolist() == [0]
    assert rating(Embeddings(visual, text[:1])).tolist() == [0]
    assert rating(Embeddings(visual, torch.zeros(3, 2))).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("method", "counts", "left"),
    [
        (SparseVLM, (309, 204, 113), (300, 200, 110)),
        (SparseVLM, (312, 117, 39), (303, 110, 36)),
        (SparseVLM, (249, 55, 27), (238, 48, 26)),
        (SparseVLM, (82, 32, 18), (66, 30, 17)),
        (SparseVLMPlus, (300, 200, 118), (300, 200, 118)),
        (SparseVLMPlus, (66, 34, 20), (66, 34, 20)),
    ],
)
def test_the_authors_lists(method: Any, counts: tuple[int, ...], left: tuple[int, ...]) -> None:
    pruner = method(budget=counts[-1] / 576, counts=counts)
    plan = pruner.plan(576)
    assert plan == list(zip((3, 7, 16), counts, strict=True))
    if method is SparseVLM:
        before = (576, *counts)
        chosen = [split(n, leaves)[0] for n, leaves in zip(before, counts, strict=False)]
        assert chosen == list(left)


def test_the_authors_averages() -> None:
    plan = SparseVLM(budget=113 / 576).plan(576)
    assert 576 * layer_average(plan, 576, 32) == pytest.approx(206.5, abs=0.05)
    plan = SparseVLMPlus(budget=118 / 576).plan(576)
    assert 576 * layer_average(plan, 576, 32) == 206.75


@pytest.mark.parametrize(
    ("layers", "budgets"),
    [((3, 7, 16), (0.1753, 0.0819, 0.0028)), ((2, 6, 14), (0.1998, 0.1069, 0.0281))],
)
@methods
def test_a_layer_average(method: Any, layers: tuple[int, ...], budgets: tuple[float, ...]) -> None:
    pruner = method(layer=layers[0], later=layers[1:], counts=(300, 200, 110))
    for average, budget in zip((0.353, 0.222, 0.111), budgets, strict=True):
        found = pruner.at_average(average, 1_000_000, 28)
        assert found.budget == pytest.approx(budget, abs=6e-5)
        assert layer_average(found.plan(1_000_000), 1_000_000, 28) == pytest.approx(average)


@given(st.integers(1, 400), st.data())
def test_chosen_and_recycled_are_what_is_left(n: int, data: Any) -> None:
    leaves = data.draw(st.integers(1, n))
    chosen, count = split(n, leaves)
    assert chosen >= 1
    assert chosen + count == leaves
    assert leaves < n or (chosen, count) == (n, 0)
    clusters = int((int(0.3 * (n - chosen)) + 1) / 10) + 1
    assert count == clusters or chosen in (1, n)


# --- slow references ---------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(1, N))
def test_random_layers_give_the_slow_references_tokens(seed: int, keep: int) -> None:
    of = looked_at(seed)
    hidden = projections(of)["hidden"][VISUAL.tolist()]
    once = {"budget": keep / N, "later": ()}
    for method in METHODS:
        choice, scores = method(**once).choose(of), slow_scores(of, method is SparseVLMPlus)
        np.testing.assert_allclose(choice.scores.numpy(), scores, rtol=1e-3, atol=1e-6)
        if method is SparseVLMPlus:
            assert choice.kept.tolist() == sorted(slow.highest(scores.tolist(), keep))
            assert choice.rows is None
        else:
            groups = slow.recycled(hidden, scores, keep)
            assert groups_of(choice) == {i: sorted(groups[i]) for i in sorted(groups)}
            if choice.rows is not None:
                check_rows(choice, hidden)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 40), st.integers(1, 5), st.booleans())
def test_clusters_are_the_slow_ones(seed: int, m: int, count: int, few: bool) -> None:
    # Whole numbers are exact in any precision: with few of them there are ties everywhere.
    numbers = np.random.default_rng(seed)
    x = numbers.integers(0, 2 if few else 1000, size=(m, 4)).astype(float)
    count = min(count, m)
    truth = slow.dpc_knn(x, count)
    centres, label = density_peaks(torch.tensor(x).float(), count)
    assert dict(enumerate(label.tolist())) == truth
    assert centres.tolist() == sorted(set(truth.values()))


def test_attention_is_causal_and_positions_explain_some_of_it() -> None:
    of = looked_at(1)
    rows = torch.tensor([5, 14, 17])
    own = projections(of)
    truth = slow.attention(own["rq"], own["rk"], rows.tolist())[:, :, VISUAL.tolist()]
    np.testing.assert_allclose(received(of, rows).numpy(), truth.sum(axis=1), rtol=1e-4, atol=1e-6)
    weights = [
        [slow.distance_weight(row - column, FREQUENCIES) for column in VISUAL.tolist()]
        for row in rows.tolist()
    ]
    np.testing.assert_allclose(closeness(of, rows).numpy(), weights, rtol=1e-4, atol=1e-5)
    assert rows[-1] == S - 1


# --- what breaks others ------------------------------------------------------------------


@methods
@pytest.mark.parametrize("case", ["same", "zero", "bf16", "far"])
def test_every_token_has_one_place(method: Any, case: str) -> None:
    of = looked_at(2)
    hidden = of.hidden.clone()
    if case == "same":
        hidden[VISUAL] = hidden[VISUAL[:1]]
    elif case == "zero":
        hidden[VISUAL] = 0.0
    elif case == "far":
        hidden[VISUAL] *= 1e4  # densities underflow
    else:
        hidden = hidden.bfloat16()
        of = replace(of, layer=of.layer.bfloat16())
    of = replace(of, hidden=hidden)
    for keep in range(1, N + 1):
        pruner = method(budget=keep / N, later=())
        choice = pruner.choose(of)
        assert len(choice.kept.unique()) == len(choice.kept) == keep
        assert choice.scores.isfinite().all()
        order = pruner.rank(of).ranks.argsort()
        assert sorted(order[:keep].tolist()) == choice.kept.tolist()
        if choice.rows is not None:
            check_rows(choice, hidden[VISUAL].double().numpy())


@methods
def test_one_token_of_picture_or_text(method: Any) -> None:
    of = looked_at(3)
    text = replace(of.at_input, text=of.at_input.text[:1])
    alone = replace(
        of, text=of.text[:1], embeddings=text, previous=replace(of.before, text=of.text[:1])
    )
    assert len(method(budget=0.4, later=()).choose(alone).kept) == 4
    one = replace(
        of, visual=VISUAL[:1], previous=replace(of.before, visual=VISUAL[:1]), separators=None
    )
    assert method(budget=0.1, later=()).choose(one).kept.tolist() == [0]
    with pytest.raises(ValueError, match="enters the decoder"):
        method(budget=0.4, later=()).choose(replace(of, embeddings=None))


@methods
def test_row_ends_come_first(method: Any) -> None:
    of = looked_at(4)
    ends = SEPARATORS.tolist()
    choice = method(budget=0.5, later=(), separators="kept").choose(of)
    assert set(ends) < set(choice.kept.tolist())
    assert len(choice.kept) == 5
    with pytest.raises(InputError, match="prunable, kept"):
        method(separators="gone")


@methods
def test_a_second_cut_counts_from_the_whole_prompt(method: Any) -> None:
    pruner = method(budget=0.3, later=(7,), counts=(3, 2))
    assert pruner.plan(40) == [(3, 18), (7, 12)]
    of = looked_at(5, n_uncut=20)
    assert len(pruner.cuts[1].choose(of).kept) == 6
    assert method(budget=1.0).plan(40) == [(3, 40), (7, 40), (16, 40)]
    assert all(cut.looks_back and cut.needs_embeddings for cut in pruner.cuts)
    assert all(cut.merges == method.merges for cut in pruner.cuts)


@methods
def test_nothing_is_remembered(method: Any) -> None:
    pruner = method(budget=0.4, later=())
    first = pruner.choose(looked_at(7))
    pruner.choose(looked_at(8))
    again = pruner.choose(looked_at(7))
    assert torch.equal(first.kept, again.kept)
    assert torch.equal(first.scores, again.scores)


def test_layers_and_counts() -> None:
    assert SparseVLM.suited(28, {"layer": 4}) == {"layer": 3, "later": (7, 16)}
    assert SparseVLM.suited(32, {}) == {"layer": 3, "later": (7, 16)}
    assert SparseVLM.suited(8, {}) == {"layer": 1, "later": (2, 5)}
    for layers in range(4, 81):
        assert all(cut.layer < layers for cut in SparseVLM(**SparseVLM.suited(layers, {})).cuts)
    assert SparseVLM(counts=[3, 2, 1]).counts == (3, 2, 1)  # as JSON gives it
    for counts in ((3, 2), (3, 2, 0)):
        with pytest.raises(InputError, match="3 cuts"):
            SparseVLM(counts=counts)


# --- on a model --------------------------------------------------------------------------


@methods
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl"])
def test_three_cuts_follow_each_other(method: Any, family: str) -> None:
    network, inputs = model(family), FAMILIES[family].inputs()
    pruner = method(budget=0.2, layer=1, later=(2, 4))
    with choices_of(pruner) as choices, prune(network, pruner) as trace:
        tokens, logits = written(network, inputs)
    (columns,) = visual_columns(network, inputs["input_ids"])
    assert [(cut.layer, len(cut.kept)) for cut in trace.cuts] == pruner.plan(len(columns))
    assert any(choice.rows is not None for choice in choices) == method.merges
    dropped, became, left = {}, {}, columns
    for cut, choice in zip(trace.cuts, choices, strict=True):
        dropped[cut.layer] = [dropped_of(columns, cut)]
        became[cut.layer] = [as_chosen(left, choice)]
        left = columns[cut.kept]
    with hiding_from(network, dropped, became):
        true_tokens, truth = written(network, inputs)
    assert torch.equal(tokens, true_tokens)
    assert (logits - truth).abs().max() < NEAR
