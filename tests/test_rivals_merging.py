"""The rival methods that merge: worked examples, slow references, duplicates, row ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from iwp.errors import InputError
from iwp.pruners import merging
from iwp.pruners.base import Choice, LayerView
from iwp.pruners.merging import Merging, means, ranking_of
from iwp.pruners.pact import PACT, centres, clusters, importance
from iwp.pruners.tome import ToMe, merged
from tests import rivals_merging_reference as slow
from tests.test_pruners_iwp import SEPARATORS, VISUAL, N, projections, view
from tests.waits import NoWaiting

METHODS = [PACT, ToMe]
methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def groups_of(choice: Choice) -> slow.Groups:
    into = choice.into.tolist()
    assert all(into[i] == i for i in choice.kept.tolist())
    assert set(into) <= {-1, *choice.kept.tolist()}
    return {i: [j for j, to in enumerate(into) if to == i] for i in choice.kept.tolist()}


def check_rows(choice: Choice, hidden: np.ndarray) -> None:
    """The rows are means, the kept numbers ascend, and the sizes count."""
    groups = groups_of(choice)
    assert choice.kept.tolist() == sorted(groups)
    assert choice.rows.dtype == torch.float32
    means = [hidden[members].mean(axis=0) for members in groups.values()]
    np.testing.assert_allclose(choice.rows.numpy(), means, rtol=1e-4, atol=1e-5)
    if choice.sizes is not None:
        assert choice.sizes.tolist() == [len(members) for members in groups.values()]


# --- worked examples ---------------------------------------------------------------------


def at(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees).double().deg2rad()
    return torch.stack((angles.cos(), angles.sin()), dim=1).float()


def test_pact_finds_dense_centres() -> None:
    keys = at(0, 10, 20, 80, 85, 170)
    expected = [5.0275, 5.1594, 5.2772, 5.4587, 5.4156, 3.7734]
    np.testing.assert_allclose(slow.densities(keys.double().numpy()), expected, atol=1e-4)
    found, into, _ = clusters(keys, 6, distance=0.05)
    assert (found.tolist(), into.tolist()) == ([0, 2, 3, 5], [0, 2, 2, 3, 3, 5])
    assert slow.dbdpc(keys.double().numpy(), 0.05) == ([3, 2, 0, 5], [0, 2, 2, 3, 3, 5])


def test_pact_takes_pruned_tokens_back() -> None:
    # Tokens 2 and 7, at 27 and 60 degrees, are pruned and join those at 20 and 80.
    keys = at(0, 10, 27, 20, 80, 85, 170, 60)
    x = torch.tensor([1, 2, 100, 3, 4, 5, 6, 200]).float()
    into = torch.tensor([0, 3, 3, 3, 4, 4, 6, 4])
    rows, sizes = means(x[:, None], into, torch.tensor([0, 3, 4, 6]))
    torch.testing.assert_close(rows[:, 0], torch.tensor([1, 35, 209 / 3, 6]))
    assert sizes.tolist() == [1, 3, 3, 1]
    scores = np.array([1, 1, 0, 1, 1, 1, 1, 0])
    groups = slow.pact(keys.double().numpy(), scores, 6, 0.05)
    assert groups == {0: [0], 3: [1, 2, 3], 4: [4, 5, 7], 6: [6]}


def test_tome_merges_the_most_similar() -> None:
    metric = torch.tensor([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [-1, 0], [0, -1]])
    kept, into, x, left = merged(metric, 4)
    assert (kept.tolist(), into.tolist()) == ([1, 3, 4, 5], [1, 1, 3, 3, 4, 5])
    torch.testing.assert_close(x[:2], torch.tensor([[1, 0.05], [0.05, 1]]))
    assert left.tolist() == [2, 2, 1, 1]
    rows, sizes = means(torch.arange(0.0, 60, 10)[:, None], into, kept)
    assert (rows[:, 0].tolist(), sizes.tolist()) == ([5, 25, 40, 50], [2, 2, 1, 1])


@pytest.mark.parametrize(("n", "keep"), [(729, 257), (729, 162), (729, 81), (1296, 144), (7, 1)])
def test_tome_leaves_what_is_asked(n: int, keep: int) -> None:
    tokens = torch.randn(n, 4)
    kept, into, x, left = merged(tokens, keep)
    assert len(kept) == keep
    assert torch.equal(into.unique(), kept)
    rows, sizes = means(tokens, into, kept)
    torch.testing.assert_close(x, rows, rtol=1e-4, atol=1e-5)
    assert torch.equal(left, sizes)


def test_sums_by_index_are_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """One runs on the CPU, the other elsewhere, where the order of sums by index is not fixed."""
    rows, place = torch.randn(50, 6), torch.randint(0, 8, (50,))
    product = merging.by_product(rows, place, 7)  # those at 7 are in no sum
    slow = [rows[place == i].double().sum(dim=0) for i in range(7)]
    torch.testing.assert_close(product.double(), torch.stack(slow), rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(merging, "by_product", None)
    torch.testing.assert_close(merging.sums(rows, place, 7), product)
    means(rows, torch.arange(50) // 2 * 2, torch.arange(48, -1, -2))
    ToMe(budget=0.3).choose(view(6))


def test_pact_weighs_attention_with_length() -> None:
    # Identity projections would need q = k: these rows hold q, k and a norm side by side.
    q = torch.tensor([[1, 0], [0, 1], [1, 1]]).float()
    k = torch.tensor([[2, 0], [0, 2], [1, 1]]).float()
    rows = torch.tensor([[1, 0, 0], [0, 2, 0], [0, 0, 3]]).float()

    class Given(LayerView):
        keys = k[None]

        def mean_query(self, rows: Tensor) -> Tensor:
            return q[None, rows].mean(dim=1)

    visual = torch.tensor([1, 2])
    of = Given(torch.nn.Identity(), rows, q, q, visual, visual[:0], torch.arange(3))
    torch.testing.assert_close(importance(of).exp(), torch.tensor([2 / 3, 1.0]))


# --- slow references ---------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(1, N), st.sampled_from([0.0, 0.1, 0.4]))
def test_random_layers_give_the_slow_references_groups(seed: int, keep: int, fixed: float) -> None:
    of = view(seed)
    own, visual = projections(of), VISUAL.tolist()
    hidden = own["hidden"][visual]
    choice = ToMe(budget=keep / N, proportional=True).reduced(of, torch.arange(N), keep)
    assert groups_of(choice) == slow.tome(hidden, keep)
    check_rows(choice, hidden)

    scores = slow.importance(own["q"], own["k"], own["hidden"], visual)
    keys = own["rk"][:, visual].transpose(1, 0, 2).reshape(N, -1)
    count = max(5, 0 if fixed else keep)
    some = np.sort(np.argsort(-scores, kind="stable")[:count])
    distance = fixed or clusters(torch.tensor(keys[some]), keep)[2]
    choice = PACT(distance=fixed).reduced(of, torch.arange(N), keep)
    np.testing.assert_allclose(choice.scores.numpy(), scores, rtol=1e-4, atol=1e-9)
    assert groups_of(choice) == slow.pact(keys, scores, count, distance)
    check_rows(choice, hidden)
    assert fixed or len(choice.kept) <= keep


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 60), st.floats(0.0, 2.0))
def test_centres_are_the_slow_ones(seed: int, n: int, distance: float) -> None:
    keys = np.random.default_rng(seed).normal(size=(n, 5))
    truth, labels = slow.dbdpc(keys, distance)
    found, into, _ = clusters(torch.tensor(keys).float(), n, distance or 1e-9)
    assert found.tolist() == sorted(truth)
    assert into.tolist() == labels
    order = slow.highest(slow.densities(keys), n)
    table = np.maximum(0.0, 1.0 - slow.cosines(keys))[np.ix_(order, order)]
    np.fill_diagonal(table, 0.0)
    assert [order[i] for i in centres(table, distance, n)] == truth
    assert len(truth) == 1 or centres(table, distance, len(truth) - 1) is None


@pytest.mark.parametrize("keep", [1, 2, 17, 40, 80, 119, 120])
def test_pact_finds_a_distance_for_the_budget(keep: int) -> None:
    keys = torch.randn(120, 16, generator=torch.Generator().manual_seed(keep))
    found, into, distance = clusters(keys, keep)
    assert keep - 2 <= len(found) <= keep
    assert torch.equal(into.unique(), found)
    assert torch.equal(clusters(keys, 120, distance)[0], found) or distance == 0.0


# --- what breaks others ------------------------------------------------------------------


@methods
@pytest.mark.parametrize("case", ["same", "pairs", "zero", "bf16"])
def test_every_token_has_one_place(method: Any, case: str) -> None:
    of = view(1)
    if case == "bf16":
        of = replace(of, hidden=of.hidden.bfloat16(), layer=of.layer.bfloat16())
    else:
        hidden = of.hidden.clone()
        pattern = {"same": [0] * N, "pairs": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], "zero": range(N)}
        hidden[VISUAL] = hidden[VISUAL[torch.tensor(list(pattern[case]))]]
        if case == "zero":
            hidden[VISUAL[:4]] = 0.0
        of = replace(of, hidden=hidden)
    for keep in range(1, N + 1):
        pruner = method(budget=keep / N)
        choice = pruner.choose(of)
        assert 1 <= len(choice.kept) <= keep
        assert len(choice.kept) == keep or method is PACT
        assert sorted(pruner.rank(of).ranks.tolist()) == list(range(N))
        if keep < N:
            check_rows(choice, of.hidden[VISUAL].double().numpy())
            assert choice.scores.isfinite().all()
            assert choice.scores.dtype == torch.float32
    if case == "pairs":
        hidden = of.hidden[VISUAL]
        choice = ToMe(budget=0.5).choose(of)
        assert torch.equal(choice.into // 2, torch.arange(N) // 2)
        assert torch.equal(choice.rows, hidden[choice.kept])


@methods
def test_one_token_is_left_alone(method: Any) -> None:
    of = view(2, None)
    of = replace(of, visual=of.visual[:1])
    assert method(budget=0.1).choose(of) == Choice(torch.tensor([0]))
    choice = method().reduced(of, torch.tensor([0]), 1)
    assert groups_of(choice) == {0: [0]}
    assert method(budget=0.1).rank(of).ranks.tolist() == [0]


@methods
def test_what_is_kept_ranks_first_and_what_merges_next(method: Any) -> None:
    pruner = method(budget=0.4, separators="kept")
    of = view(5)
    choice, ranking = pruner.choose(of), pruner.rank(of)
    order = ranking.ranks.argsort().tolist()
    gone = [i for i in range(N) if i not in choice.kept]
    assert sorted(order[: len(choice.kept)]) == choice.kept.tolist()
    dropped = [i for i in gone if choice.into[i] < 0]
    assert set(order[N - len(dropped) :]) == set(dropped)
    assert torch.equal(ranking.scores, choice.scores)
    kept, scores = pruner.select(of, len(choice.kept))
    assert torch.equal(scores, choice.scores)
    assert method is PACT or torch.equal(kept, choice.kept)
    scores = torch.tensor([0.1, 0.9, 0.5, 0.5])
    other = Choice(torch.tensor([0]), scores, into=torch.tensor([0, -1, 0, -1]))
    assert ranking_of(other).ranks.tolist() == [0, 2, 1, 3]


@methods
def test_row_ends_are_kept_as_they_are(method: Any) -> None:
    of = view(3)
    pruner = method(separators="kept", budget=0.5, proportional=True)
    choice = pruner.choose(of)
    ends = SEPARATORS.tolist()
    groups = groups_of(choice)
    assert all(groups[end] == [end] for end in ends)
    assert len(choice.kept) == 5
    check_rows(choice, of.hidden[VISUAL].double().numpy())
    others = torch.tensor([i for i in range(N) if i not in ends])
    inner = pruner.reduced(of, others, 3)
    assert others[inner.kept].tolist() == [i for i in groups if i not in ends]
    alone = replace(pruner, budget=0.1).choose(of)
    assert (alone.kept.tolist(), alone.rows) == (ends[:1], None)
    assert alone.into.tolist() == [ends[0] if i == ends[0] else -1 for i in range(N)]
    assert len(replace(pruner, budget=0.2).choose(of).kept) == 2
    for none in (None, SEPARATORS[:0]):
        unknown = view(3, separators=none)
        plain = replace(pruner, separators="prunable").choose(of)
        assert torch.equal(pruner.choose(unknown).kept, plain.kept)
    with pytest.raises(InputError, match="prunable, kept"):
        method(separators="gone")


@methods
def test_nothing_is_remembered(method: Any) -> None:
    pruner: Merging = method(budget=0.4)
    first = pruner.choose(view(7))
    pruner.choose(view(8))
    again = pruner.choose(view(7))
    for name in ("kept", "scores", "rows", "into"):
        assert torch.equal(getattr(first, name), getattr(again, name))


def test_sizes_on_request() -> None:
    of = view(4)
    assert PACT(budget=0.3).choose(of).sizes.max() > 1
    assert PACT(budget=0.3, proportional=False).choose(of).sizes is None
    assert ToMe(budget=0.3).choose(of).sizes is None
    assert int(ToMe(budget=0.3, proportional=True).choose(of).sizes.sum()) == N


def test_tome_waits_for_no_device() -> None:
    of = view(6)
    with NoWaiting():
        ToMe(budget=0.3, separators="kept").choose(of)
        ToMe(budget=0.3).rank(of)


@pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.1}, {"distance": -0.1}])
def test_options_that_do_not_exist_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="share"):
        PACT(**options)
