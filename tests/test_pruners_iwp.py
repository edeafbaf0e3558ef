"""Every option of IWP on a layer of random weights, against the slow reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from iwp import fidelity
from iwp.budget import keep_count
from iwp.errors import InputError
from iwp.pruners import IWP, PRUNERS, LayerView
from iwp.pruners.errors import MEASURES, error_curve
from iwp.pruners.iwp import CHOICES
from tests import oracles
from tests.waits import NoWaiting

HEADS, KV_HEADS, D, WIDTH = 4, 2, 6, 10
VISUAL = torch.arange(3, 13)  # of 18 rows, the last 5 are the text that asks
N, S = len(VISUAL), 18
SEPARATORS = torch.tensor([4, 9])


def view(seed: int, separators: Tensor | None = SEPARATORS) -> LayerView:
    generator = torch.Generator().manual_seed(seed)

    def project(heads: int) -> nn.Linear:
        linear = nn.Linear(WIDTH, heads * D)
        for weight in linear.parameters():
            weight.data = torch.randn(weight.shape, generator=generator) * 0.6
        return linear

    layer = nn.Module()
    layer.input_layernorm = nn.Identity()
    layer.self_attn = nn.Module()
    layer.self_attn.head_dim = D
    for name, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
        setattr(layer.self_attn, f"{name}_proj", project(heads))
    angles = torch.arange(S)[:, None] / 10.0 ** torch.arange(D // 2)
    angles = torch.cat((angles, angles), dim=-1)
    return LayerView(
        layer=layer.requires_grad_(False),
        hidden=torch.randn(S, WIDTH, generator=generator),
        cos=angles.cos(),
        sin=angles.sin(),
        visual=VISUAL,
        text=torch.arange(13, S),
        prompt=torch.arange(S),
        separators=separators,
    )


def turned(heads: np.ndarray) -> np.ndarray:
    """(h, S, d) turned to its rows' positions: pairs (i, i + d / 2) are complex numbers."""
    z = heads[..., : D // 2] + 1j * heads[..., D // 2 :]
    z = z * np.exp(1j * np.arange(S)[:, None] / 10.0 ** np.arange(D // 2))
    return np.concatenate((z.real, z.imag), axis=-1)


def projections(of: LayerView) -> dict[str, np.ndarray]:
    hidden = of.hidden.double().numpy()
    result = {"hidden": hidden}
    for name in "qkv":
        linear = getattr(of.layer.self_attn, f"{name}_proj")
        flat = hidden @ linear.weight.double().numpy().T + linear.bias.double().numpy()
        result[name] = flat.reshape(S, -1, D).transpose(1, 0, 2)
    return {**result, "rq": turned(result["q"]), "rk": turned(result["k"])}


def slow_order(of: LayerView, method: IWP) -> list[int]:
    own, visual = projections(of), VISUAL.tolist()
    scores = oracles.exact_magnitude(
        own["rq" if method.rope_magnitude else "q"],
        own["rk" if method.rope_magnitude else "k"],
        own["v"],
        {"text": of.text.tolist(), "image": visual, "last": [S - 1]}[method.query],
        visual,
        method.normalizer,
        method.magnitude,
    )
    return oracles.chunked_mmr(
        scores,
        own["rk" if method.rope_duplication else "k"][:, visual],
        own["v"][:, visual],
        N,
        method.chunk,
        method.growth,
        method.penalty,
        method.floor,
        method.bandwidth,
        method.duplication,
        own["hidden"][visual],
        SEPARATORS.tolist() if method.separators == "kept" else (),
    )


OPTIONS = st.fixed_dictionaries(
    {
        **{name: st.sampled_from(CHOICES[name]) for name in CHOICES if name != "measure"},
        "rope_magnitude": st.booleans(),
        "rope_duplication": st.booleans(),
        "chunk": st.integers(1, 4),
        "growth": st.integers(1, 3),
        "penalty": st.sampled_from([0.0, 1.0, 5.0]),
    }
)


@settings(max_examples=150)
@given(st.integers(0, 9999), OPTIONS)
def test_any_options_give_the_slow_references_order(seed: int, options: dict[str, Any]) -> None:
    of, method = view(seed), IWP(**options)
    ranking = method.rank(of)
    order = ranking.ranks.argsort().tolist()
    assert order == slow_order(of, method)
    assert (ranking.scores.min(), ranking.scores.max()) == (0.0, 1.0)
    assert torch.equal(method.scores(of), ranking.scores)
    for keep in range(1, N + 1):
        kept, scores = method.select(of, keep)
        assert kept.tolist() == sorted(order[:keep])
        assert torch.equal(scores, ranking.scores)
        budget = keep / N
        kept = replace(method, budget=budget).choose(of).kept
        assert len(kept) == keep_count(N, budget) == keep


@pytest.mark.parametrize("magnitude", CHOICES["magnitude"])
def test_a_rotation_changes_no_norms(magnitude: str) -> None:
    of = view(1)
    plain = IWP(magnitude=magnitude).scores(of)
    turned = IWP(magnitude=magnitude, rope_magnitude=True).scores(of)
    assert torch.equal(plain, turned) == (magnitude not in ("kernel_value", "kernel"))


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"magnitude": "value_norm", "duplication": "none"}, {"v": [N]}),
        ({"magnitude": "key_norm", "duplication": "hidden"}, {"k": [S]}),
        ({"magnitude": "kernel", "query": "last", "duplication": "key"}, {"q": [1], "k": [S]}),
        ({"magnitude": "value_norm", "duplication": "value"}, {"v": [N]}),
    ],
    ids=str,
)
def test_what_is_not_needed_is_not_computed(
    options: dict[str, Any], rows: dict[str, list[int]]
) -> None:
    of, seen = view(2), {}
    for name in "qkv":
        getattr(of.layer.self_attn, f"{name}_proj").register_forward_pre_hook(
            lambda _, args, name=name: seen.setdefault(name, []).append(args[0].shape[0])
        )
    IWP(**options).rank(of)
    assert seen == rows


@pytest.mark.parametrize("magnitude", CHOICES["magnitude"])
@pytest.mark.parametrize("duplication", CHOICES["duplication"])
def test_no_option_waits_for_the_device(magnitude: str, duplication: str) -> None:
    method = IWP(magnitude=magnitude, duplication=duplication, separators="kept", budget=0.5)
    with NoWaiting():
        method.choose(view(6))
        method.rank(view(6))


@pytest.mark.parametrize("duplication", ["dual", "none"])
def test_separators_are_kept_first(duplication: str) -> None:
    method = IWP(separators="kept", duplication=duplication)
    of = view(3)
    choice = replace(method, budget=0.3).choose(of)
    kept, scores = choice.kept, choice.scores
    assert len(kept) == 3
    assert set(SEPARATORS.tolist()) < set(kept.tolist())
    best = max(SEPARATORS.tolist(), key=lambda i: float(scores[i]))
    assert replace(method, budget=0.1).choose(of).kept.tolist() == [best]
    for none in (None, SEPARATORS[:0]):
        unknown = view(3, separators=none)
        assert torch.equal(method.rank(unknown).ranks, IWP(duplication=duplication).rank(of).ranks)
    every = view(3, separators=torch.arange(N))
    by_score = IWP(duplication="none").rank(of).ranks
    assert torch.equal(method.rank(every).ranks, by_score)


# --- budgets found by the method --------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
@settings(max_examples=15)
@given(seed=st.integers(0, 999), tolerance=st.floats(0.0, 0.99))
def test_auto_keeps_the_shortest_prefix_within_the_tolerance(
    measure: str, seed: int, tolerance: float
) -> None:
    of = view(seed)
    method = IWP(budget="auto", measure=measure, tolerance=tolerance)
    order = method.rank(of).ranks.argsort()
    own = {name: torch.from_numpy(x).float() for name, x in projections(of).items()}

    def error(kept: Tensor) -> float:
        if measure == "dual_weight":
            return fidelity.dual_weight_error(own["rk"][:, VISUAL], own["v"][:, VISUAL], kept)
        rows = of.text
        return fidelity.attention_output_error(
            own["rq"][:, rows], own["rk"], own["v"], rows, VISUAL, kept
        )

    curve = error_curve(of, order, measure)
    errors = [error(order[:m]) for m in range(N + 1)]
    np.testing.assert_allclose(curve.numpy(), errors, atol=1e-5)
    expected = next(m for m in range(1, N + 1) if curve[m] <= tolerance)
    choice = method.choose(of)
    kept, scores = choice.kept, choice.scores
    assert kept.tolist() == sorted(order[:expected].tolist())
    assert torch.equal(scores, method.scores(of))


def test_auto_follows_the_tolerance() -> None:
    of = view(4)
    methods = [
        IWP(budget="auto", measure="attention_output", tolerance=t)
        for t in (0.0, 0.2, 0.5, 0.8, 0.99)
    ]
    sizes = [len(method.choose(of).kept) for method in methods]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == N
    assert len(set(sizes)) > 2


def test_auto_is_for_methods_that_can() -> None:
    for name, method in PRUNERS.items():
        if not method.finds_budget:
            with pytest.raises(InputError, match="Only IWP"):
                method(budget="auto")
            assert name != "iwp"
    with pytest.raises(InputError, match="fraction"):
        IWP(budget="half")
    for tolerance in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match="tolerance"):
            IWP(budget="auto", tolerance=tolerance)
    with pytest.raises(InputError, match="attention_output, dual_weight"):
        IWP(budget="auto", measure="loss")
    with pytest.raises(ValueError, match="measure"):
        error_curve(view(0), torch.arange(N), "loss")


@pytest.mark.parametrize("option", CHOICES)
def test_a_wrong_name_is_told_the_right_ones(option: str) -> None:
    with pytest.raises(InputError, match=", ".join(CHOICES[option])):
        IWP(**{option: "nonsense"})
    assert getattr(IWP(), option) == CHOICES[option][0]
