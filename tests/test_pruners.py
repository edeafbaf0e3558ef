"""What a layer offers to methods, and the methods behind one interface."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from iwp import dual, mmr
from iwp.prompt import Memory, Prompt
from iwp.pruners import IWP, PRUNERS, LayerView, Random, Uniform
from iwp.pruners.errors import MEASURES, error_curve
from iwp.pruners.iwp import CHOICES
from iwp.pruning import prune
from iwp.support import cache_in
from iwp.types import Embeddings
from tests import tiny
from tests.tower_views import drawn

N = 40
LAYER = 2


@pytest.fixture(scope="module")
def captured() -> tuple[LayerView, dict[str, torch.Tensor]]:
    """A view of layer 2, and the q, k, v that the layer itself computes from the same input."""
    model = tiny.model()
    layer = model.get_decoder().layers[LAYER]
    inputs = tiny.inputs()
    visual = (inputs["input_ids"][0] == model.config.image_token_id).nonzero().flatten()
    seen: dict[str, Any] = {}

    memory = Memory()

    def look(module: Any, args: Any, call: Any) -> None:
        norm = model.get_decoder().norm
        prompt = Prompt.of(inputs["input_ids"].shape[1], visual, final_norm=norm)
        seen["view"] = prompt.view(module, args, call, previous=memory.take())

    model.get_decoder().layers[LAYER - 1].register_forward_pre_hook(memory, with_kwargs=True)
    layer.register_forward_pre_hook(look, with_kwargs=True)
    for name in "qkv":
        getattr(layer.self_attn, f"{name}_proj").register_forward_hook(
            lambda _, __, out, name=name: seen.__setitem__(name, out)
        )
    cache = cache_in(model(**inputs, use_cache=True))
    heads = {
        name: seen[name][0].view(-1, 4 if name == "q" else 2, 16).transpose(0, 1) for name in "qkv"
    }
    view = seen["view"]
    embeddings = Embeddings(view.hidden[view.visual], view.hidden[view.text])
    shown = replace(view, tower=drawn(0, len(visual)).tower, embeddings=embeddings)
    return shown, {**heads, "cached_k": cache.layers[LAYER].keys[0]}


def test_a_view_gives_the_layers_own_projections(
    captured: tuple[LayerView, dict[str, torch.Tensor]],
) -> None:
    view, own = captured
    torch.testing.assert_close(view.queries(view.text), own["q"][:, view.text])
    torch.testing.assert_close(view.keys, own["k"])
    torch.testing.assert_close(view.visual_keys, own["k"][:, view.visual])
    torch.testing.assert_close(view.visual_values, own["v"][:, view.visual])
    turned = view.rotate(view.keys, view.prompt)
    torch.testing.assert_close(turned, own["cached_k"])
    assert view.n == len(view.visual)
    assert view.text[0] > view.visual[-1]


def test_iwp_is_the_papers_formulas(captured: tuple[LayerView, dict[str, torch.Tensor]]) -> None:
    view, own = captured
    scores = dual.information_magnitude(own["q"], own["k"], own["v"], view.text, view.visual)
    order = mmr.progressive_chunked_mmr(
        scores, own["cached_k"][:, view.visual], own["v"][:, view.visual], view.n
    )
    ranking = IWP().rank(view)
    torch.testing.assert_close(ranking.scores, scores)
    assert torch.equal(ranking.ranks, mmr.ranks_of(order))


@pytest.mark.parametrize(
    "option",
    [
        {"query": "last"},
        {"query": "image"},
        {"duplication": "none"},
        {"rope_magnitude": True},
        {"rope_duplication": False, "bandwidth": "median"},
        {"normalizer": "visual"},
        {"normalizer": "none"},
        {"bandwidth": "median"},
        *({"magnitude": name} for name in CHOICES["magnitude"][1:]),
        *({"duplication": name} for name in CHOICES["duplication"][1:-1]),
    ],
    ids=str,
)
def test_every_option_does_something(
    captured: tuple[LayerView, dict[str, torch.Tensor]], option: dict[str, Any]
) -> None:
    view, _ = captured
    ranks = IWP(**option).rank(view).ranks
    assert sorted(ranks.tolist()) == list(range(view.n))
    assert not torch.equal(ranks, IWP().rank(view).ranks)


@pytest.mark.parametrize("method", PRUNERS.values(), ids=PRUNERS)
def test_what_is_selected_is_what_ranks_first(
    captured: tuple[LayerView, dict[str, torch.Tensor]], method: Any
) -> None:
    view, _ = captured
    pruner = method()
    ranking = pruner.rank(view)
    assert torch.equal(pruner.rank(view).ranks, ranking.ranks)
    assert sorted(ranking.ranks.tolist()) == list(range(view.n))
    for keep in (1, 2, 3, 17, view.n):
        if method.nested:
            kept, scores = pruner.select(view, keep)
            assert torch.equal(scores, ranking.scores)
        else:  # what it keeps at its own budget ranks first
            pruner = method(budget=keep / view.n)
            kept = pruner.choose(view).kept
            ranking, keep = pruner.rank(view), len(kept)
        assert torch.equal(kept, (ranking.ranks < keep).nonzero().flatten())


@pytest.mark.parametrize("measure", MEASURES)
def test_a_prompt_is_cut_where_its_curve_says(measure: str) -> None:
    model, inputs = tiny.model(), tiny.inputs()
    method = IWP(budget="auto", layer=LAYER, measure=measure, tolerance=0.6, bandwidth="median")
    with prune(model, method) as trace:
        model(**inputs)
    kept = trace.cuts[0].kept
    assert 1 <= len(kept) < trace.n_visual[0]
    with prune(model, replace(method, budget=len(kept) / trace.n_visual[0])) as fixed:
        model(**inputs)
    assert torch.equal(fixed.cuts[0].kept, kept)


def test_the_curve_of_attention_is_what_the_layer_puts_out(
    captured: tuple[LayerView, dict[str, torch.Tensor]],
) -> None:
    view, own = captured
    order = IWP().rank(view).ranks.argsort()
    curve = error_curve(view, order, "attention_output")
    heads = {name: own[name].repeat_interleave(2, dim=0) for name in ("cached_k", "v")}
    q = view.rotate(own["q"], view.prompt)
    outputs = []
    for m in (view.n, 10):
        seen = torch.ones(q.shape[1], q.shape[1]).tril().bool()
        seen[:, view.visual[order[m:]]] = False
        seen |= torch.eye(q.shape[1]).bool()  # rows that are not looked at
        out = scaled_dot_product_attention(q, heads["cached_k"], heads["v"], attn_mask=seen)
        outputs.append(out[:, view.text].transpose(0, 1).flatten(1))
    truth = ((outputs[1] - outputs[0]).norm(dim=1) / outputs[0].norm(dim=1)).mean()
    torch.testing.assert_close(curve[10], truth, rtol=1e-4, atol=1e-6)
    assert len(curve) == view.n + 1


def test_iwp_projects_no_more_rows_than_it_needs(
    captured: tuple[LayerView, dict[str, torch.Tensor]],
) -> None:
    view, _ = captured
    rows = {}
    handles = [
        getattr(view.layer.self_attn, f"{name}_proj").register_forward_pre_hook(
            lambda _, args, name=name: rows.setdefault(name, []).append(args[0].shape[0])
        )
        for name in "qkv"
    ]
    fresh = LayerView(**{name: getattr(view, name) for name in view.__dataclass_fields__})
    IWP().rank(fresh)
    for handle in handles:
        handle.remove()
    assert rows == {"q": [len(view.text)], "k": [len(view.prompt)], "v": [view.n]}


def test_text_that_asks() -> None:
    visual = torch.tensor([2, 3, 4])
    after = Prompt.of(7, visual)
    assert (after.text.tolist(), after.ends_with_text) == ([5, 6], True)
    before = Prompt.of(5, visual)
    assert (before.text.tolist(), before.ends_with_text) == ([0, 1], False)
    padded = Prompt.of(7, visual, torch.tensor([[0, 1, 1, 1, 1, 1, 0]]))
    assert (padded.rows.tolist(), padded.text.tolist()) == ([1, 2, 3, 4, 5], [5])


def blank(n: int) -> LayerView:
    rows = torch.arange(n)
    empty = torch.empty(0)
    return LayerView(torch.nn.Identity(), empty, empty, empty, rows, rows, rows)


def test_random_depends_on_the_seed_alone() -> None:
    one, same, other = (Random(seed=seed).rank(blank(N)).ranks for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("n", [1, 2, 12, 97, 1000, 4964])
def test_uniform_is_spread_at_every_budget(n: int) -> None:
    ranks = Uniform().rank(blank(n)).ranks
    assert sorted(ranks.tolist()) == list(range(n))
    for keep in {max(1, n // 20), max(1, n // 9), max(1, n // 2), n}:
        gaps = (ranks < keep).nonzero().flatten().diff()
        assert gaps.unique().numel() <= 3
        assert keep == 1 or gaps.max() <= 3 * n / keep
