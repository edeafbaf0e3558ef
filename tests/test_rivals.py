"""The rival methods: worked examples, slow references, duplicates, low precision, no waiting."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from iwp import generate
from iwp.errors import InputError
from iwp.pruners import DART, PRUNERS, VTW, CDPruner, DivPrune, FastV, LayerView, Magnitude
from iwp.pruners.attention import log_attention
from iwp.pruners.cdpruner import map_order, normalized
from iwp.pruners.dart import pivot_order
from iwp.pruners.divprune import cosine_distances, max_min_order
from iwp.pruners.ordered import Ordered, by_score
from iwp.pruners.vtw import quiet_layer
from tests import rivals_reference as slow
from tests import tiny
from tests.prompts import made
from tests.test_generate import embedded
from tests.test_pruners_iwp import SEPARATORS, VISUAL, N, projections, view
from tests.tower_views import drawn
from tests.waits import NoWaiting

ORDERED = [method for method in PRUNERS.values() if issubclass(method, Ordered)]
ordered = pytest.mark.parametrize("method", ORDERED, ids=lambda method: method.name)


def looked_at(seed: int, separators: Tensor | None = None, **changes: Any) -> LayerView:
    """A layer of random weights and the one before it, a norm that does something, and a tower."""
    norm = nn.RMSNorm(10).requires_grad_(False)
    norm.weight.copy_(torch.linspace(0.5, 2.0, 10))
    now, before = view(seed, separators), view(seed + 10_000, separators)
    tower = drawn(seed, N).tower
    return replace(now, previous=before, final_norm=norm, tower=tower, **changes)


def finally_normed(of: LayerView) -> np.ndarray:
    h = of.hidden.double().numpy()
    return h / np.sqrt((h**2).mean(axis=1, keepdims=True)) * np.linspace(0.5, 2.0, 10)


# --- worked examples ---------------------------------------------------------------------


def test_fastv_scores_by_the_last_row() -> None:
    row = torch.tensor([0.3, 0.1, 0.25, 0.2, 0.1, 0.05])  # tokens 1 to 3 are the image
    attention = log_attention(torch.ones(1, 1), row.log()[None, :, None]).exp()
    torch.testing.assert_close(attention, row)
    assert sorted((by_score(attention[1:4], 2) + 1).tolist()) == [2, 3]


def test_divprune_starts_with_the_most_isolated() -> None:
    x = torch.tensor([[1, 0], [0.96, 0.28], [0, 1], [-0.6, 0.8], [-1, 0]])
    order, nearest = max_min_order(cosine_distances(x), 4)
    assert order.tolist() == [4, 0, 2, 3]
    torch.testing.assert_close(nearest, torch.tensor([0.04, 0.04, 0.2, 0.2, 0.4]))


SIMILARITY = torch.tensor(
    [[1, 0.8, 0.1, 0.2], [0.8, 1, 0.3, 0.1], [0.1, 0.3, 1, 0.5], [0.2, 0.1, 0.5, 1]]
)


@pytest.mark.parametrize(
    ("quality", "order"),
    [
        ([1, 0.9, 0.5, 0.6], [0, 3, 1]),
        ([1, 1, 1, 1], [0, 2, 3]),
        ([1, 0.8, 1e-6, 0.2], [0, 1, 3]),
    ],
)
def test_cdpruner_weighs_diversity_with_relevance(quality: list[float], order: list[int]) -> None:
    assert map_order(SIMILARITY, torch.tensor(quality).float(), 3).tolist() == order


def test_cdpruner_scales_the_relevance() -> None:
    cosines = torch.tensor([-0.2, -0.15, 0.05, 0.0])
    q = normalized(-cosines)  # as in CLIP's space
    torch.testing.assert_close(q, torch.tensor([1, 0.8, 0, 0.2]), atol=1e-5, rtol=0)
    assert map_order(SIMILARITY, q, 3).tolist() == [0, 1, 3]
    assert normalized(torch.full((3,), 0.7)).tolist() == [1, 1, 1]


def test_dart_takes_what_is_unlike_its_pivots() -> None:
    z = torch.tensor(
        [[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0.1], [-0.2, -1], [1, 1], [0, -1]]
    )
    keys = torch.tensor([[3, 0], [1, 0], [0, 1], [0, 2], [1, 0], [0, 1], [0, 2], [1, 1]])
    norms = keys.abs().sum(dim=1)
    image, text = by_score(norms[:6], 1), by_score(norms[6:], 1)
    assert (image.tolist(), text.tolist()) == ([0], [0])
    chosen = pivot_order(z[:6], z[6:], image, text, budget=4)
    assert sorted(chosen.tolist()) == [0, 1, 2, 4, 5]


@pytest.mark.parametrize(
    ("n", "budget", "kept"), [(729, 257, 260), (729, 162, 164), (729, 81, 84), (2880, 640, 644)]
)
def test_dart_keeps_whole_shares(n: int, budget: int, kept: int) -> None:
    z, pivots = torch.randn(n, 4), torch.arange(4)
    assert len(pivot_order(z, z[:9], pivots, pivots, budget)) == kept


def test_vtw_leaves_where_it_is_quiet() -> None:
    assert quiet_layer([0.1, 0.004, 0.002, 0.0005]) == 7
    assert quiet_layer([0.1, 0.004]) is None
    assert VTW.suited(28, {"layer": 3}) == {"layer": 14}
    assert FastV.suited(28, {"layer": 3, "bandwidth": "median"}) == {}


# --- slow references ---------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999))
def test_random_layers_give_the_slow_references_order(seed: int) -> None:
    of = looked_at(seed)
    own, visual, text = projections(of.before), VISUAL.tolist(), of.text.tolist()
    hidden = of.hidden.double().numpy()
    attention = slow.attention_of_last_row(own["rq"], own["rk"])[visual]
    scores = FastV().rank(of).scores.numpy()
    np.testing.assert_allclose(scores, attention, rtol=1e-4, atol=1e-9)
    norms = np.abs(own["rk"]).sum(axis=(0, 2))
    normed = finally_normed(of)
    expected = {
        FastV(): np.argsort(-attention, kind="stable").tolist(),
        DivPrune(): slow.max_min(hidden[visual], N),
    }
    for sign, name in ((1.0, "positive"), (-1.0, "negative")):
        quality = slow.relevance(hidden[visual], hidden[text], sign)
        # The last choices are among tokens of relevance 1e-6, which add nothing to float32.
        expected[CDPruner(relevance=name)] = slow.greedy_determinant(
            slow.cosines(hidden[visual]), quality, N - 3
        )
    ones = np.ones(N)
    expected[CDPruner(relevance="none")] = slow.greedy_determinant(
        slow.cosines(hidden[visual]), ones, N - 3
    )
    for method, order in expected.items():
        kept = method.order(of, len(order))[0].tolist()
        assert kept == order, method
        for keep in range(1, len(order) + 1):
            assert method.select(of, keep)[0].tolist() == sorted(order[:keep])
    for keep, pivots in ((7, (4, 4)), (8, (2, 1)), (9, (1, 2)), (6, (3, 0))):
        dart = DART(image_pivots=pivots[0], text_pivots=pivots[1])
        order = slow.dart(normed[visual], normed[text], norms[visual], norms[text], pivots, keep)
        assert dart.order(of, keep)[0].tolist() == order
        assert dart.select(of, keep)[0].tolist() == sorted(order)


# --- what breaks others ------------------------------------------------------------------


@ordered
@pytest.mark.parametrize("case", ["same", "pairs", "zero", "bf16"])
def test_no_token_is_chosen_twice(method: Any, case: str) -> None:
    of = looked_at(1)
    if case == "bf16":
        of = replace(
            of,
            hidden=of.hidden.bfloat16(),
            layer=of.layer.bfloat16(),
            previous=replace(
                of.before, hidden=of.before.hidden.bfloat16(), layer=of.before.layer.bfloat16()
            ),
        )
    else:
        hidden = of.hidden.clone()
        pattern = {"same": [0] * N, "pairs": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], "zero": range(N)}
        hidden[VISUAL] = hidden[VISUAL[torch.tensor(list(pattern[case]))]]
        if case == "zero":
            hidden[VISUAL[:4]] = 0.0
        of = replace(of, hidden=hidden, previous=replace(of.before, hidden=hidden))
    for keep in range(1, N + 1):
        kept, scores = method().select(of, keep)
        assert kept.unique().tolist() == kept.tolist()
        assert len(kept) == keep or not method.nested
        assert scores.dtype == torch.float32
        assert scores.isfinite().all()
    if case == "pairs" and method in (DivPrune, CDPruner):
        plain = DivPrune() if method is DivPrune else CDPruner(relevance="none")
        assert len({i // 2 for i in plain.select(of, 5)[0].tolist()}) == 5
    if case == "same" and method not in (DART, FastV, Magnitude) and not method.needs_tower:
        assert method().select(of, 3)[0].tolist() == [0, 1, 2]  # others look at positions too


def test_low_precision_changes_the_input_only() -> None:
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    same = max_min_order(cosine_distances(x.float()), 60)[0]
    assert torch.equal(max_min_order(cosine_distances(x), 60)[0], same)
    assert cosine_distances(x).dtype == torch.float32


def test_a_kernel_of_low_rank_is_no_end() -> None:
    x = torch.randn(100, 16, generator=torch.Generator().manual_seed(0))
    x = x / x.norm(dim=1, keepdim=True)
    quality = torch.rand(100, generator=torch.Generator().manual_seed(1))
    for rank in (None, 16):
        order = map_order(x @ x.T, quality, 40, rank)
        assert len(order.unique()) == 40
        left = torch.ones(100).index_fill(0, order[:16], 0.0) * quality
        assert order[16:].tolist() == by_score(left, 24).tolist()


@ordered
def test_no_choice_waits_for_the_device(method: Any) -> None:
    for separators in ("prunable", "kept"):
        with NoWaiting():
            method(separators=separators).select(looked_at(2, SEPARATORS), 5)


@ordered
def test_row_ends_are_kept_on_request(method: Any) -> None:
    of = looked_at(3, SEPARATORS)
    chosen = method(separators="kept", budget=0.5)
    choice = chosen.choose(of)
    kept, scores = choice.kept, choice.scores
    assert set(SEPARATORS.tolist()) < set(kept.tolist())
    assert (scores.shape, scores.isfinite().all()) == ((N,), True)
    assert len(kept) == 5 or not method.nested
    if method.nested:
        assert chosen.select(of, 1)[0].tolist() == SEPARATORS[:1].tolist()
    every = looked_at(3, torch.arange(N))
    assert chosen.select(every, 4)[0].tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="prunable, kept"):
        method(separators="gone")


@pytest.mark.parametrize("options", [{"relevance": "clip"}, {"image_pivots": 0}])
def test_options_that_do_not_exist_are_refused(options: dict[str, Any]) -> None:
    method = CDPruner if "relevance" in options else DART
    with pytest.raises(InputError):
        method(**options)


# --- on a model --------------------------------------------------------------------------


@pytest.mark.parametrize("method", PRUNERS.values(), ids=PRUNERS)
def test_keeping_all_is_the_baseline_bit_for_bit(method: Any) -> None:
    network = tiny.model()
    embeds, visual = embedded(network, tiny.inputs())
    whole = generate.prefill(network, embeds, visual)
    pruner, tower = made(method, budget=1.0, layer=2), drawn(0, len(visual)).tower
    kept = generate.prefill(network, embeds, visual, pruner=pruner, tower=tower)
    assert torch.equal(kept.logits, whole.logits)


def test_vtw_is_the_prompt_without_its_picture_from_the_layer_on() -> None:
    network = tiny.model()
    embeds, visual = embedded(network, tiny.inputs())
    state = generate.prefill(network, embeds, visual, pruner=VTW(layer=3))
    assert state.trace.cuts[0].kept.tolist() == []
    lengths = [layer.get_seq_length() for layer in state.cache.layers]
    words = embeds.shape[1] - len(visual)
    assert lengths == [embeds.shape[1]] * 3 + [words] * 3
    assert len(list(generate.decode(network, state, 3, stop_ids=()))) == 3


def test_the_layer_before_is_the_one_that_the_model_ran() -> None:
    network = tiny.model()
    embeds, visual = embedded(network, tiny.inputs())
    seen: dict[int, LayerView] = {}
    generate.look(network, embeds, visual, note=lambda at, of: seen.update({at: of}))
    assert seen[0].previous is None
    for layer in range(1, tiny.LAYERS):
        assert torch.equal(seen[layer].before.hidden, seen[layer - 1].hidden)
        assert seen[layer].before.previous is None
    eager = tiny.model("eager")
    maps = eager(inputs_embeds=embeds, output_attentions=True).attentions
    attention = maps[1][0, :, -1, visual].mean(dim=0)
    scores = generate.rank(network, embeds, visual, FastV()).scores
    torch.testing.assert_close(scores, attention, rtol=1e-3, atol=1e-6)
    assert math.isclose(float(maps[1][0, 0, -1].sum()), 1.0, rel_tol=1e-5)
