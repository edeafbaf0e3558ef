"""How much every visual token does: Eq. 10 and the metrics that the paper compares it with.

All in logarithms: the kernel spans hundreds of orders of magnitude where keys are long, and
tokens keep their order all the way down.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAGNITUDES = {
    "kernel_value": "qkv",
    "kernel": "qk",
    "update_norm": "kv",
    "key_norm": "k",
    "value_norm": "v",
}
"""The metrics of Table 1 and which of query, keys and values each is made of.

kernel_value: kappa(q, k_i) ||v_i|| (Eq. 10). kernel: kappa(q, k_i) (Eq. 9). update_norm: ||dW_i||,
which is ||phi(k_i)|| ||v_i|| (Eqs. 8 and 15). key_norm: ||phi(k_i)||, which is
exp(||k_i||^2 / (2 sqrt d)) (Table 1's "key feature norm"). value_norm: ||v_i||.
"""


def information_magnitude(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    text: Tensor,
    visual: Tensor,
    normalizer: str = "eta",
    magnitude: str = "kernel_value",
) -> Tensor:
    """How much every visual token does to the text's queries (Eq. 10), scaled to [0, 1].

    Args:
        q: (H, S, d) queries before rotary of all prompt tokens.
        k: (Hkv, S, d) keys before rotary.
        v: (Hkv, S, d) values.
        text: (T,) rows of the text that asks.
        visual: (n,) rows of the visual tokens.
        normalizer: see `log_magnitude`.
        magnitude: one of `MAGNITUDES`.

    Returns:
        (n,) float32; all ones where the tokens do not differ.
    """
    uses = MAGNITUDES.get(magnitude)
    if uses is None:
        raise ValueError(f"unknown magnitude {magnitude!r}")
    return log_magnitude(
        mean_query(q[:, text]) if "q" in uses else None,
        k if "k" in uses else None,
        v[:, visual] if "v" in uses else None,
        visual,
        normalizer,
    ).exp()


def mean_query(q: Tensor) -> Tensor:
    """(H, T, d) queries of the text -> (H, d), the one query q_T that stands for it (Sec. 4.1)."""
    return q.float().mean(dim=1)


def log_magnitude(
    query: Tensor | None,
    k: Tensor | None,
    v: Tensor | None,
    visual: Tensor,
    normalizer: str = "eta",
) -> Tensor:
    """Log of the mean over heads of a metric of `MAGNITUDES`, min-max scaled to [0, 1].

    What is None is left out: query, keys and values give kappa(q, k_i) ||v_i||, without a query
    ||phi(k_i)|| stands for the kernel, and so on.

    Args:
        query: (H, d).
        k: (Hkv, S, d) keys of all prompt tokens.
        v: (Hkv, n, d) values of the visual tokens.
        visual: (n,) the visual tokens among the S.
        normalizer: what makes heads comparable before they are averaged. "eta": every head's
            kernel is divided by its sum over the whole prompt (a softmax, Eq. 5); "visual": by
            its sum over the visual tokens; "none": by nothing. Without a query the norms
            ||phi(k_i)|| are divided so. ||v_i|| alone needs no normaliser.

    Returns:
        (n,) float32, 0 for the most important token and -inf for the least; all 0 where tokens do
        not differ.
    """
    if normalizer not in ("eta", "visual", "none"):
        raise ValueError(f"unknown normalizer {normalizer!r}")
    total: Tensor | None = None
    if k is not None:
        logs = _log_feature_norm(k)[:, None] if query is None else _log_kernel(query, k)
        total = logs[..., visual]
        if normalizer != "none":
            among = logs if normalizer == "eta" else total
            total = total - among.logsumexp(-1, keepdim=True)
    if v is not None:
        norms = _log_norm(v)[:, None]
        total = norms if total is None else total + norms
    if total is None:
        raise ValueError("a magnitude needs keys or values")
    return _log_min_max(total.flatten(0, 1).logsumexp(0))


def log_update_norm(k: Tensor, v: Tensor) -> Tensor:
    """(Hkv, n, d) keys and values -> (Hkv, n) log ||dW_i|| = log ||phi(k_i)|| ||v_i|| (Eq. 15)."""
    return _log_feature_norm(k) + _log_norm(v)


def _log_kernel(query: Tensor, k: Tensor) -> Tensor:
    """(H, d), (Hkv, S, d) -> (Hkv, H / Hkv, S) log kappa(q, k_j) = q . k_j / sqrt(d)."""
    grouped = query.float().view(k.shape[0], -1, k.shape[-1])
    return grouped @ k.float().transpose(1, 2) / math.sqrt(k.shape[-1])


def _log_feature_norm(k: Tensor) -> Tensor:
    """(Hkv, S, d) -> (Hkv, S) log ||phi(k_j)||, because kappa(k, k) = ||phi(k)||^2 (Eq. 13)."""
    return k.float().square().sum(-1) / (2.0 * math.sqrt(k.shape[-1]))


def _log_norm(v: Tensor) -> Tensor:
    """(Hkv, n, d) -> (Hkv, n) log ||v_i||."""
    norms: Tensor = torch.linalg.vector_norm(v.float(), dim=-1)
    return norms.log()


def _log_min_max(logs: Tensor) -> Tensor:
    """Log of the min-max scaled exp(logs): a common factor cancels before it can overflow."""
    low, top = logs.min(), logs.max()
    # x - low = x (1 - low / x); -inf stands for a token that does nothing at all.
    above = logs + _log1mexp(torch.where(logs > low, low - logs, 0.0))
    scaled = above - (top + _log1mexp(torch.where(top > low, low - top, 0.0)))
    return torch.where(top > low, scaled, torch.zeros_like(scaled))


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x <= 0."""
    return (-torch.expm1(x)).log()
