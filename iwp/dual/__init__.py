"""Information magnitude and duplication of visual tokens (arXiv 2604.00757), as pure functions.

Attention is an implicit linear layer whose weight is a sum of rank-one updates, one per token:
dW_i = eta kappa(q, k_i) v_i phi(k_i)^T. The magnitude says how much a token's update does to the
text's queries, the duplication how much of it another token's update does already. Everything is
float32; H query heads share Hkv key/value heads: query head h reads g(h) = h // (H / Hkv).
"""

from __future__ import annotations

from iwp.dual.kernel import MEDIAN_SAMPLE, kernel_width, median_exponent
from iwp.dual.magnitudes import (
    MAGNITUDES,
    information_magnitude,
    log_magnitude,
    log_update_norm,
    mean_query,
)
from iwp.dual.similarities import (
    Similarity,
    duplication,
    similarity_between,
    update_cosine,
)

__all__ = [
    "MAGNITUDES",
    "MEDIAN_SAMPLE",
    "Similarity",
    "duplication",
    "information_magnitude",
    "kernel_width",
    "log_magnitude",
    "log_update_norm",
    "mean_query",
    "median_exponent",
    "similarity_between",
    "update_cosine",
]
