"""What pruning loses, against double loops and an explicit feature map."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from iwp import fidelity
from tests import oracles


def random(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def order_of(seed: int, n: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=15)
@given(
    st.integers(0, 999),
    st.integers(1, 9),
    st.sampled_from([0.3, 1.0, 4.0]),
    st.sampled_from([1, 3, 128]),
)
def test_dual_weight_equals_the_double_loop(seed: int, n: int, scale: float, chunk: int) -> None:
    k, v, order = random(seed, 2, n, 6, scale=scale), random(seed + 1, 2, n, 6), order_of(seed, n)
    curve = fidelity.dual_weight_curve(k, v, order, chunk=chunk)
    truth = [
        oracles.dual_weight_error(k.numpy(), v.numpy(), order[:m].tolist()) for m in range(n + 1)
    ]
    np.testing.assert_allclose(curve.numpy(), truth, atol=1e-5, rtol=1e-3)
    assert (curve[0], curve[-1]) == (1.0, 0.0)
    for m in {1, n // 2, n}:
        one = fidelity.dual_weight_error(k, v, order[:m].sort().values)
        assert one == pytest.approx(truth[m], abs=1e-5, rel=1e-3)


def test_dual_weight_equals_the_feature_maps_matrix() -> None:
    k, v, d = random(0, 1, 8, 2), random(1, 1, 8, 3), 2

    def phi(key: list[float]) -> Tensor:
        # kappa(x, y) = sum over p of (x . y)^p / (p! sqrt(d)^p): its monomials up to degree 13
        features = []
        for p in range(14):
            factor = 1.0 / math.sqrt(math.factorial(p) * math.sqrt(d) ** p)
            words = product((0, 1), repeat=p)
            features += [factor * math.prod(key[i] for i in word) for word in words]
        return torch.tensor(features, dtype=torch.float64)

    features = torch.stack([phi(key.tolist()) for key in k[0].double()])  # (n, 2^14 - 1)
    whole = features.T @ v[0].double()
    for m in range(9):
        kept = order_of(3, 8)[:m]
        short = features[kept].T @ v[0, kept].double()
        ours = fidelity.dual_weight_error(k, v, kept)
        assert ours == pytest.approx(float((whole - short).norm() / whole.norm()), abs=1e-5)


def test_long_keys_do_not_overflow() -> None:
    k = random(5, 2, 10, 128, scale=200 / math.sqrt(128)).bfloat16()
    k[:, 5:] = k[:, :5] + random(6, 2, 5, 128, scale=0.2).bfloat16()
    v, order = random(7, 2, 10, 128).bfloat16(), order_of(8, 10)
    curve = fidelity.dual_weight_curve(k, v, order)
    k64, v64 = k.double().numpy(), v.double().numpy()
    truth = [oracles.dual_weight_error(k64, v64, order[:m].tolist()) for m in range(11)]
    np.testing.assert_allclose(curve.numpy(), truth, atol=2e-3)
    q = random(9, 4, 3, 128, scale=40 / math.sqrt(128)).bfloat16()
    rows, visual = torch.arange(10, 13), torch.arange(10)
    keys, values = torch.cat((k, 5 * q[:2]), dim=1), torch.cat((v, v[:, :3]), dim=1)
    errors = fidelity.attention_output_curve(q, keys, values, rows, visual, order)
    truth = [
        oracles.attention_output_error(
            *(x.double().numpy() for x in (q, keys, values)),
            rows.tolist(),
            visual.tolist(),
            order[:m].tolist(),
        )
        for m in range(11)
    ]
    np.testing.assert_allclose(errors.numpy(), truth, atol=1e-5)
    longer = fidelity.attention_output_curve(20 * q, keys, values, rows, visual, order)
    assert longer.isfinite().all()


def test_small_errors_are_exact_and_doubles_cost_nothing() -> None:
    k, v = random(1, 3, 400, 16), random(2, 3, 400, 16)
    v[:, 300:] *= 1e-4
    order = torch.arange(400)
    curve = fidelity.dual_weight_curve(k, v, order)
    truth = torch.tensor([fidelity.dual_weight_error(k.double(), v.double(), order[:399])])
    assert 0 < curve[399] < 1e-4
    torch.testing.assert_close(curve[399:400], truth, rtol=1e-4, atol=0.0)
    v[:, 300:] = 0.0
    curve = fidelity.dual_weight_curve(k, v, order)
    assert curve[300:].tolist() == [0.0] * 101
    assert curve[299] > 0


@given(st.integers(0, 99), st.integers(1, 60))
def test_counts_pick_from_the_curve(seed: int, n: int) -> None:
    k, v, order = random(seed, 2, n, 4), random(seed + 1, 2, n, 4), order_of(seed, n)
    counts = torch.tensor([n, 0, n // 2])
    whole = fidelity.dual_weight_curve(k, v, order)
    assert torch.equal(fidelity.dual_weight_curve(k, v, order, counts), whole[counts])


@pytest.mark.parametrize("values", [0.0, 1.0])
def test_blank_pictures(values: float) -> None:
    k, v = random(0, 2, 1, 8).repeat(1, 12, 1), values * random(1, 2, 1, 8).repeat(1, 12, 1)
    curve = fidelity.dual_weight_curve(k, v, torch.arange(12))
    # equal updates: what is lost is the share of the dropped ones
    truth = values * torch.linspace(1, 0, 13)
    torch.testing.assert_close(curve, truth, atol=1e-5, rtol=0.0)
    rows, visual = torch.tensor([12]), torch.arange(12)
    q, more = random(2, 4, 1, 8), torch.cat((k, k[:, :1]), dim=1)
    same = torch.cat((v, v[:, :1]), dim=1)
    errors = fidelity.attention_output_curve(q, more, same, rows, visual, visual)
    assert errors.max() < 1e-6  # equal values: attention to fewer of them is the same attention


def prompt(seed: int, before: int, n: int, after: int, scale: float) -> tuple[Tensor, ...]:
    """Queries of the text after n visual tokens, its rows, keys, values, and the visual rows."""
    size = before + n + after
    q, k, v = (random(seed + i, h, size, 4) for i, h in enumerate((4, 2, 2)))
    rows = torch.arange(before + n, size)
    return scale * q[:, rows], k, v, rows, torch.arange(before, before + n)


@settings(max_examples=15)
@given(
    st.integers(0, 999),
    st.integers(0, 2),
    st.integers(1, 7),
    st.integers(1, 3),
    st.sampled_from([0.5, 2.0, 20.0]),
)
def test_attention_output_equals_the_loops(
    seed: int, before: int, n: int, after: int, scale: float
) -> None:
    q, k, v, rows, visual = prompt(seed, before, n, after, scale)
    order = order_of(seed, n)
    curve = fidelity.attention_output_curve(q, k, v, rows, visual, order)
    truth = [
        oracles.attention_output_error(
            *(x.numpy() for x in (q, k, v)), rows.tolist(), visual.tolist(), order[:m].tolist()
        )
        for m in range(n + 1)
    ]
    np.testing.assert_allclose(curve.numpy(), truth, atol=1e-6, rtol=1e-5)
    assert curve[n] == 0.0
    one = fidelity.attention_output_error(q, k, v, rows, visual, order[: n // 2])
    assert one == pytest.approx(truth[n // 2], abs=1e-6, rel=1e-5)


def test_attention_output_of_many_tokens_and_queries() -> None:
    q, k, v, rows, visual = prompt(3, 5, 300, 70, 2.0)  # more than a chunk, more than a block
    order, counts = order_of(3, 300), torch.tensor([1, 100, 150, 299])
    curve = fidelity.attention_output_curve(q, k, v, rows, visual, order, counts)
    hidden = torch.arange(375) > rows[:, None]
    k, v = (x.double().repeat_interleave(2, dim=0) for x in (k, v))
    outputs = []
    for m in (300, *counts.tolist()):
        gone = torch.zeros(375, dtype=torch.bool)
        gone[visual[order[m:]]] = True
        logits = q.double() @ k.transpose(1, 2) / 2.0
        weights = logits.masked_fill(hidden | gone, -math.inf).softmax(-1)
        outputs.append((weights @ v).transpose(0, 1).flatten(1))
    truth = [((o - outputs[0]).norm(dim=1) / outputs[0].norm(dim=1)).mean() for o in outputs[1:]]
    torch.testing.assert_close(curve.double(), torch.stack(truth), rtol=1e-5, atol=1e-7)


def test_text_that_the_picture_says_nothing_to_loses_nothing() -> None:
    q, k, v, rows, visual = prompt(0, 2, 6, 2, 1.0)
    k[:, visual] *= 0.0
    k[:, rows] = 50.0 * q[:2]  # every query looks at its own token alone
    k[:, :2] = 0.0
    q = q[:2].repeat_interleave(2, dim=0)
    curve = fidelity.attention_output_curve(q, k, v, rows, visual, torch.arange(6))
    assert curve.max() < 1e-3


def test_first_token() -> None:
    base = torch.tensor([1.0, 2.0, 3.0])
    assert fidelity.first_token_kl(base, base) == 0.0
    assert fidelity.first_token_kl(base, base + 7.0) == pytest.approx(0.0, abs=1e-12)
    p, q = base.double().softmax(0), torch.tensor([3.0, 0.0, 1.0]).double().softmax(0)
    by_hand = sum(float(a * (a.log() - b.log())) for a, b in zip(p, q, strict=True))
    assert fidelity.first_token_kl(base, torch.tensor([3.0, 0.0, 1.0])) == pytest.approx(by_hand)
    assert fidelity.first_token_kl(base, -base) != fidelity.first_token_kl(-base, base * 2)
    far = fidelity.first_token_kl(torch.tensor([900.0, 0.0]), torch.tensor([0.0, 900.0]))
    assert far == pytest.approx(900.0)
    never = torch.tensor([-math.inf, 0.0, 0.0])  # a token that both forbid
    assert fidelity.first_token_kl(never, never) == 0.0


@pytest.mark.parametrize(
    ("tolerance", "least"), [(0.0, 4), (0.1, 3), (0.35, 3), (0.4, 1), (0.99, 1)]
)
def test_the_shortest_prefix(tolerance: float, least: int) -> None:
    curve = torch.tensor([1.0, 0.4, 0.6, 0.1, 0.0])
    assert fidelity.shortest_prefix(curve, tolerance) == least
