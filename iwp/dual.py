"""Information magnitude and duplication of visual tokens (arXiv 2604.00757), as pure functions.

Attention is an implicit linear layer whose weight is a sum of rank-one updates, one per token:
dW_i = eta kappa(q, k_i) v_i phi(k_i)^T. The magnitude says how much a token's update does to the
text's queries, the duplication how much of it another token's update does already. Everything is
float32; H query heads share Hkv key/value heads: query head h reads g(h) = h // (H / Hkv).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MEDIAN_SAMPLE = 256
"""Most visual tokens that the median distance of keys is taken over, at even steps."""


def information_magnitude(
    q: Tensor, k: Tensor, v: Tensor, text: Tensor, visual: Tensor, normalizer: str = "eta"
) -> Tensor:
    """How much every visual token does to the text's queries (Eq. 10), scaled to [0, 1].

    Args:
        q: (H, S, d) queries before rotary of all prompt tokens.
        k: (Hkv, S, d) keys before rotary.
        v: (Hkv, S, d) values.
        text: (T,) rows of the text that asks.
        visual: (n,) rows of the visual tokens.
        normalizer: see `magnitude_of_query`.

    Returns:
        (n,) float32; all ones where the tokens do not differ.
    """
    return magnitude_of_query(mean_query(q[:, text]), k, v[:, visual], visual, normalizer)


def mean_query(q: Tensor) -> Tensor:
    """(H, T, d) queries of the text -> (H, d), the one query that stands for it."""
    return q.float().mean(dim=1)


def magnitude_of_query(
    query: Tensor, k: Tensor, v: Tensor, visual: Tensor, normalizer: str = "eta"
) -> Tensor:
    """Eq. 10 for one query per head: mean over heads of eta_h kappa_hi ||v_i||, min-max scaled.

    Args:
        query: (H, d).
        k: (Hkv, S, d) keys of all prompt tokens.
        v: (Hkv, n, d) values of the visual tokens.
        visual: (n,) the visual tokens among the S.
        normalizer: what makes heads comparable before they are averaged. "eta": the softmax over
            the whole prompt (Eq. 5); "visual": the softmax over the visual tokens; "none":
            nothing but one shift that all heads share.

    Returns:
        (n,) float32 in [0, 1].
    """
    heads, kv_heads = query.shape[0], k.shape[0]
    grouped = query.float().view(kv_heads, heads // kv_heads, -1)
    logits = grouped @ k.float().transpose(1, 2) / math.sqrt(k.shape[-1])  # (Hkv, H/Hkv, S)
    log_kappa = logits[..., visual]
    if normalizer == "eta":
        log_kappa = log_kappa - logits.logsumexp(-1, keepdim=True)
    elif normalizer == "visual":
        log_kappa = log_kappa - log_kappa.logsumexp(-1, keepdim=True)
    elif normalizer != "none":
        raise ValueError(f"unknown normalizer {normalizer!r}")
    log_norms = torch.linalg.vector_norm(v.float(), dim=-1).log()[:, None]
    return _min_max_of_logs((log_kappa + log_norms).flatten(0, 1).logsumexp(0))


def _min_max_of_logs(logs: Tensor) -> Tensor:
    """Min-max scaled exp(logs). A common factor cancels: take it out before it can overflow."""
    top = logs.max()
    values = (logs - torch.where(top.isfinite(), top, 0.0)).exp()
    low, high = values.min(), values.max()
    spread = high - low
    scaled = (values - low) / torch.where(spread > 0, spread, 1.0)
    return torch.where(spread > 0, scaled, torch.ones_like(scaled))


def duplication(
    k_i: Tensor, k_j: Tensor, v_i: Tensor, v_j: Tensor, bandwidth: Tensor | float | None = None
) -> Tensor:
    """How much of token i's update token j's does already (Eq. 12).

    Args:
        k_i: (Hkv, n, d) keys after rotary.
        k_j: (Hkv, m, d).
        v_i: (Hkv, n, d) values.
        v_j: (Hkv, m, d).
        bandwidth: what squared key distances are divided by, one number or (Hkv,); by default
            the paper's 2 sqrt(d).

    Returns:
        (n, m) float32 in [0, 1]: the mean over heads of (cosine of values x Gaussian of keys)^2.
        A zero value is like no other.
    """
    width = (
        kernel_width(k_i) if bandwidth is None else torch.as_tensor(bandwidth, device=k_i.device)
    )
    gaussian = _squared_distances(k_i.float(), k_j.float()).div_(-width.view(-1, 1, 1)).exp_()
    cosine = _unit(v_i.float()) @ _unit(v_j.float()).transpose(1, 2)
    return gaussian.mul_(cosine).square_().mean(dim=0).clamp_(max=1.0)


def kernel_width(k: Tensor, bandwidth: str = "sqrt_d") -> Tensor:
    """(Hkv,) float32: what the squared distances between keys (Hkv, n, d) are divided by.

    "sqrt_d" is the paper's 2 sqrt(d) for every head. "median" is the head's median squared
    distance between the visual keys, over at most `MEDIAN_SAMPLE` tokens at even steps.
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


def _sampled_distances(k: Tensor) -> Tensor:
    """(Hkv, pairs) squared distances between distinct keys of the sample."""
    n = k.shape[1]
    size = min(n, MEDIAN_SAMPLE)
    sample = k[:, torch.arange(size, device=k.device) * n // size].float()
    first, second = torch.triu_indices(size, size, offset=1, device=k.device)
    return _squared_distances(sample, sample)[:, first, second]


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(Hkv, n, d), (Hkv, m, d) -> (Hkv, n, m) in float32, never negative."""
    # Keys share a large offset; without it the difference of large numbers keeps its digits.
    centre = b.mean(dim=1, keepdim=True)
    a, b = a - centre, b - centre
    norms = a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None, :]
    return torch.baddbmm(norms, a, b.transpose(1, 2), alpha=-2.0).clamp_(min=0.0)


def _unit(v: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return v / torch.where(norms > 0, norms, 1.0)
