"""Magnitude and duplication against float64 loops, and what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iwp import dual
from tests import oracles

NORMALIZERS = ["eta", "visual", "none"]
MAGNITUDES = list(dual.MAGNITUDES)


def heads(
    seed: int, n: int, heads: int = 4, kv_heads: int = 2, d: int = 8, scale: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(h, n, d, generator=generator) * scale for h in (heads, kv_heads, kv_heads)
    )


def long_keys(seed: int, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """bfloat16 queries and keys of norms around 200, d = 128."""
    q, k, v = heads(seed, n, d=128)
    lengths = 200 + 20 * torch.randn(k.shape[:2], generator=torch.Generator().manual_seed(seed))
    k = k / k.norm(dim=-1, keepdim=True) * lengths[..., None]
    return (q * 200 / 128**0.5).bfloat16(), k.bfloat16(), v.bfloat16()


@pytest.mark.parametrize("magnitude", MAGNITUDES)
@settings(max_examples=15)
@given(
    st.sampled_from(NORMALIZERS),
    st.integers(0, 999),
    st.integers(2, 12),
    st.sampled_from([0.3, 1.0, 3.0]),
)
def test_magnitude_equals_the_formula(
    magnitude: str, normalizer: str, seed: int, n: int, scale: float
) -> None:
    q, k, v = heads(seed, n + 5, scale=scale)
    visual, text = torch.arange(2, 2 + n), torch.arange(2 + n, 5 + n)
    ours = dual.information_magnitude(q, k, v, text, visual, normalizer, magnitude)
    truth = oracles.magnitude(
        *(x.numpy() for x in (q, k, v)), text.tolist(), visual.tolist(), normalizer, magnitude
    )
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours.numpy(), truth, atol=2e-5)


@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_long_keys_keep_their_order(normalizer: str, magnitude: str) -> None:
    q, k, v = long_keys(seed=0, n=24)
    visual, text = torch.arange(2, 20), torch.arange(20, 24)
    uses = dual.MAGNITUDES[magnitude]
    logs = dual.log_magnitude(
        dual.mean_query(q[:, text]) if "q" in uses else None,
        k if "k" in uses else None,
        v[:, visual] if "v" in uses else None,
        visual,
        normalizer,
    )
    exact = oracles.exact_magnitude(
        *(x.double().numpy() for x in (q, k, v)),
        text.tolist(),
        visual.tolist(),
        normalizer,
        magnitude,
    )
    truth = np.array([float(x.ln()) if x > 0 else -math.inf for x in exact])
    # up to hundreds of powers of ten below the largest, where a float32 is 0
    np.testing.assert_allclose(logs.numpy(), truth, rtol=1e-5, atol=1e-3)
    # Tokens that two heads give all their attention to differ by less than 1e-30.
    assert np.diff(truth[logs.argsort(descending=True)]).max() < 1e-3
    if magnitude != "value_norm":
        assert np.sort(truth)[1] < -200
    ours = dual.information_magnitude(q, k, v, text, visual, normalizer, magnitude)
    assert (ours.min(), ours.max()) == (0.0, 1.0)


def test_long_keys_are_compared_as_exactly() -> None:
    _, k, v = long_keys(seed=1, n=12)
    k[:, 6:] = k[:, :6] + 0.25 * torch.randn(k[:, 6:].shape).to(k)  # near doubles
    k64, v64 = k.double().numpy(), v.double().numpy()
    width = oracles.widths(k64)
    truth = [[oracles.similarity(k64, v64, i, j, width) for j in range(12)] for i in range(12)]
    ours = dual.duplication(k, k, v, v)
    np.testing.assert_allclose(ours.numpy(), np.array(truth), atol=2e-3)
    assert ours.isfinite().all()


def test_magnitude_survives_a_token_that_takes_all_attention() -> None:
    q, k, v = heads(1, 20)
    k[:, 0] = q[::2, 15:].mean(1) * 1e3  # far above all visual tokens: their softmax is 0
    ours = dual.information_magnitude(q, k, v, torch.arange(15, 20), torch.arange(1, 15))
    assert ours.isfinite().all()
    assert ours.unique().numel() > 5


def test_equal_tokens_are_equally_important() -> None:
    q, k, v = heads(2, 12)
    k[:, 3:9], v[:, 3:9] = k[:, 3:4], v[:, 3:4]
    for values in (v, torch.zeros_like(v)):
        ours = dual.information_magnitude(q, k, values, torch.arange(9, 12), torch.arange(3, 9))
        assert torch.equal(ours, torch.ones(6))


@given(st.integers(0, 99))
def test_magnitude_follows_the_tokens(seed: int) -> None:
    q, k, v = heads(seed, 12)
    text, visual = torch.arange(9, 12), torch.arange(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    plain = dual.information_magnitude(q, k, v, text, visual)
    mixed = dual.information_magnitude(q, k, v, text, visual[order])
    torch.testing.assert_close(mixed, plain[order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        dual.information_magnitude(q, k, v * 7.0, text, visual), plain, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_arithmetic_is_float32(dtype: torch.dtype) -> None:
    q, k, v = (t.to(dtype) for t in heads(3, 12))
    text, visual = torch.arange(9, 12), torch.arange(9)
    low = dual.information_magnitude(q, k, v, text, visual)
    high = dual.information_magnitude(q.float(), k.float(), v.float(), text, visual)
    assert torch.equal(low, high)
    assert torch.equal(
        dual.duplication(k, k[:, :3], v, v[:, :3]),
        dual.duplication(k.float(), k[:, :3].float(), v.float(), v[:, :3].float()),
    )
    assert dual.kernel_width(k, "median").dtype == torch.float32


@pytest.mark.parametrize("bandwidth", ["sqrt_d", "median"])
@given(st.integers(0, 999), st.integers(2, 14), st.sampled_from([0.2, 1.0, 5.0]))
def test_duplication_equals_the_formula(bandwidth: str, seed: int, n: int, scale: float) -> None:
    _, k, v = heads(seed, n, scale=scale)
    v[0, 0] = 0.0
    ours = dual.duplication(k, k[:, ::2], v, v[:, ::2], dual.kernel_width(k, bandwidth))
    width = oracles.widths(k.numpy(), bandwidth)
    k64, v64 = k.double().numpy(), v.double().numpy()
    truth = [[oracles.similarity(k64, v64, i, j, width) for j in range(0, n, 2)] for i in range(n)]
    np.testing.assert_allclose(ours.numpy(), np.array(truth), atol=5e-5)
    assert ours.min() >= 0
    assert ours.max() <= 1


def test_the_default_width_is_the_papers() -> None:
    _, k, v = heads(4, 6)
    plain = dual.duplication(k, k, v, v)
    assert torch.equal(plain, dual.duplication(k, k, v, v, 2 * math.sqrt(8)))
    assert torch.equal(plain, dual.duplication(k, k, v, v, dual.kernel_width(k)))


@pytest.mark.parametrize("bandwidth", ["sqrt_d", "median"])
def test_a_token_is_its_own_double(bandwidth: str) -> None:
    _, k, v = heads(5, 9)
    same = dual.duplication(k, k, v, v, dual.kernel_width(k, bandwidth))
    torch.testing.assert_close(same.diagonal(), torch.ones(9))
    torch.testing.assert_close(same, same.T)


@pytest.mark.parametrize("bandwidth", ["sqrt_d", "median"])
def test_blank_pictures_are_all_doubles_however_large_their_keys(bandwidth: str) -> None:
    _, k, v = heads(6, 40, d=64, scale=50.0)
    k, v = k[:, :1].repeat(1, 40, 1), v[:, :1].repeat(1, 40, 1)
    blank = dual.duplication(k, k[:, :7], v, v[:, :7], dual.kernel_width(k, bandwidth))
    torch.testing.assert_close(blank, torch.ones(40, 7))


@given(st.integers(0, 99), st.floats(0.1, 10.0))
def test_duplication_sees_neither_the_length_of_values_nor_the_origin_of_keys(
    seed: int, factor: float
) -> None:
    _, k, v = heads(seed, 8)
    plain = dual.duplication(k, k, v, v)
    moved = k + 100.0
    torch.testing.assert_close(dual.duplication(moved, moved, v, v), plain, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(dual.duplication(k, k, v * factor, v), plain, atol=1e-5, rtol=1e-4)


def test_the_median_width_follows_the_scale_of_keys() -> None:
    _, k, v = heads(7, 600, d=16)
    wide = dual.kernel_width(k, "median")
    torch.testing.assert_close(dual.kernel_width(k * 9.0, "median"), wide * 81.0)
    np.testing.assert_allclose(wide, oracles.widths(k.numpy(), "median"), rtol=1e-5)
    near = dual.duplication(k, k[:, :5], v, v[:, :5], wide)
    far = k * 9.0
    width = dual.kernel_width(far, "median")
    torch.testing.assert_close(dual.duplication(far, far[:, :5], v, v[:, :5], width), near)
    for one in ("sqrt_d", "median"):
        assert dual.kernel_width(k[:, :1], one).tolist() == pytest.approx([8.0, 8.0])


def test_the_median_exponent_warns_of_far_keys() -> None:
    _, k, _ = heads(8, 300, d=32)
    assert dual.median_exponent(k) == pytest.approx(2 * 32 / (2 * math.sqrt(32)), rel=0.1)
    assert dual.median_exponent(k * 3) == pytest.approx(9 * dual.median_exponent(k), rel=1e-4)
    assert dual.median_exponent(k[:, :1]) == 0.0
    assert dual.median_exponent(k[:, :1].repeat(1, 5, 1)) == 0.0


SIMILARITIES = ["dual", "kernel_key", "key", "value", "hidden"]


@pytest.mark.parametrize("kind", SIMILARITIES)
@given(st.integers(0, 999), st.integers(2, 10), st.sampled_from([0.3, 1.0, 5.0]))
def test_similarities_equal_the_formulas(kind: str, seed: int, n: int, scale: float) -> None:
    q, k, v = heads(seed, n, scale=scale)
    hidden = q[0]
    v[1, 0] = 0.0
    width = dual.kernel_width(k, "median")
    kernel = k if kind in ("dual", "kernel_key") else None
    of = {"dual": v, "kernel_key": None, "key": k, "value": v, "hidden": hidden[None]}[kind]
    rest, new = torch.arange(n), torch.arange(0, n, 2)
    tokens = dual.similarity_between(kernel, of, width)
    ours = tokens.take(rest).table(tokens.take(new))
    assert torch.equal(tokens.most(tokens.take(new)), ours.amax(dim=1))
    k64, v64, h64 = (x.double().numpy() for x in (k, v, hidden))
    truth = [
        [oracles.similarity(k64, v64, i, j, width.double().numpy(), kind, h64) for j in new]
        for i in rest
    ]
    np.testing.assert_allclose(ours.numpy(), np.array(truth), atol=5e-5)
    assert ours.min() >= 0
    assert ours.max() <= 1


def test_the_dual_similarity_is_the_duplication() -> None:
    _, k, v = heads(3, 8)
    tokens = dual.similarity_between(k, v)
    ours = tokens.table(tokens.take(torch.arange(3)))
    assert torch.equal(ours, dual.duplication(k, k[:, :3], v, v[:, :3]))


def test_the_length_of_an_update() -> None:
    _, k, v = heads(4, 8)
    kappa = (k.square().sum(-1) / math.sqrt(8)).exp()
    norms = dual.log_update_norm(k, v).exp()
    torch.testing.assert_close(norms, kappa.sqrt() * v.norm(dim=-1))  # Lemma 1


def test_unknown_names_are_errors() -> None:
    q, k, v = heads(9, 6)
    with pytest.raises(ValueError, match="magnitude"):
        dual.information_magnitude(
            q, k, v, torch.arange(2), torch.arange(2, 6), magnitude="attention"
        )
    with pytest.raises(ValueError, match="needs keys or values"):
        dual.log_magnitude(None, None, None, torch.arange(2))
    with pytest.raises(ValueError, match="needs keys"):
        dual.similarity_between(None, None)
    with pytest.raises(ValueError, match="normalizer"):
        dual.information_magnitude(q, k, v, torch.arange(2), torch.arange(2, 6), "mean")
    with pytest.raises(ValueError, match="bandwidth"):
        dual.kernel_width(k, "wide")
