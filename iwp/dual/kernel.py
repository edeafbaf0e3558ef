"""Distances between keys, and the width of the Gaussian over them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MEDIAN_SAMPLE = 256
"""Most visual tokens that the median distance of keys is taken over, at even steps."""


def kernel_width(k: Tensor, bandwidth: str = "sqrt_d") -> Tensor:
    """(Hkv,) float32: what the squared distances between keys (Hkv, n, d) are divided by.

    "sqrt_d" is the paper's 2 sqrt(d) for every head (Eq. 18). "median" is the head's median
    squared distance between the visual keys, over at most `MEDIAN_SAMPLE` tokens at even steps.
    """
    fixed = k.new_full(k.shape[:1], 2.0 * math.sqrt(k.shape[-1]), dtype=torch.float32)
    if bandwidth == "sqrt_d" or k.shape[1] < 2:
        return fixed
    if bandwidth != "median":
        raise ValueError(f"unknown bandwidth {bandwidth!r}")
    median = _sampled_distances(k).median(dim=1).values
    # Equal keys are at distance 0 up to rounding: the width must stay above the rounding.
    rounding = 1e-6 * k.float().square().sum(-1).mean(-1)
    return torch.maximum(median, rounding.clamp(min=1e-12))


def median_exponent(k: Tensor) -> float:
    """Median of ||k_i - k_j||^2 / (2 sqrt d) over heads and pairs of keys (Hkv, n, d).

    Keys after rotary, at most `MEDIAN_SAMPLE` of them. Above about 8 the paper's kernel takes all
    pairs for unlike ones, and `duplication` is 0 everywhere. 0.0 for fewer than two keys.
    """
    if k.shape[1] < 2:
        return 0.0
    return float(_sampled_distances(k).median()) / (2.0 * math.sqrt(k.shape[-1]))


def gaussian(k_i: Tensor, k_j: Tensor, width: Tensor) -> Tensor:
    """(Hkv, n, d), (Hkv, m, d), width (Hkv,) -> (Hkv, n, m) exp(-||k_i - k_j||^2 / width).

    With width 2 sqrt(d) it is the cosine of phi(k_i) and phi(k_j) (Eq. 18).
    """
    centre = k_i.float().mean(dim=1, keepdim=True)
    return gaussian_between(*scaled(k_i, width, centre), *scaled(k_j, width, centre))


def scaled(k: Tensor, width: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Keys in units of the Gaussian's width, as `gaussian_between` compares them.

    Args:
        k: (Hkv, n, d).
        width: (Hkv,) or one number.
        centre: (Hkv, 1, d) about where the keys lie. Keys share a large offset; without it the
            difference of large numbers keeps its digits.

    Returns:
        (Hkv, n, d) float32 (k - centre) / sqrt(width), and (Hkv, n) their squared lengths.
    """
    near = (k.float() - centre) * width.rsqrt().view(-1, 1, 1)
    return near, near.square().sum(-1)


def gaussian_between(a: Tensor, a_squares: Tensor, b: Tensor, b_squares: Tensor) -> Tensor:
    """(Hkv, n, m) exp(-||a_i - b_j||^2) of what `scaled` gives for n and for m keys."""
    exponents = torch.baddbmm(-b_squares[:, None], a, b.transpose(1, 2), alpha=2.0)
    return exponents.sub_(a_squares[:, :, None]).clamp_(max=0.0).exp_()


def _sampled_distances(k: Tensor) -> Tensor:
    """(Hkv, pairs) squared distances between distinct keys of the sample."""
    n = k.shape[1]
    size = min(n, MEDIAN_SAMPLE)
    sample = k[:, torch.arange(size, device=k.device) * n // size].float()
    first, second = torch.triu_indices(size, size, offset=1, device=k.device)
    sample = sample - sample.mean(dim=1, keepdim=True)  # see `scaled`
    squares = sample.square().sum(-1)
    apart = torch.baddbmm(squares[:, None], sample, sample.transpose(1, 2), alpha=-2.0)
    return apart.add_(squares[:, :, None]).clamp_(min=0.0)[:, first, second]
