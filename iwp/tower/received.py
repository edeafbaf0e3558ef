"""What the patches of a picture get of a tower's attention, without the table of all pairs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Entries of the attention table that are held at once: 64 MiB in float32.
_ENTRIES = 1 << 24


def received(queries: Tensor, keys: Tensor) -> Tensor:
    """The mean over heads and queries of softmax(q k / sqrt d), for every key.

    Equals the column means of the materialised table; memory is that of some of its rows.

    Args:
        queries: (H, m, d) float32.
        keys: (H, n, d) float32.

    Returns:
        (n,) float32, which sums to 1.
    """
    heads, n, depth = keys.shape
    turned = keys.transpose(1, 2)
    total = keys.new_zeros(n)
    for some in (queries * depth**-0.5).split(max(1, _ENTRIES // (heads * n)), dim=1):
        total += (some @ turned).softmax(dim=-1).sum(dim=(0, 1))
    return total / (heads * queries.shape[1])


def projected(attention: Any, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys (H, n, d) in float32 of a tower's attention module, for its input (n, D)."""
    if hasattr(attention, "qkv"):
        queries, keys, _ = attention.qkv(hidden).chunk(3, dim=-1)
    else:
        queries, keys = attention.q_proj(hidden), attention.k_proj(hidden)
        if hasattr(attention, "q_norm"):
            queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    return _by_head(queries, attention.head_dim), _by_head(keys, attention.head_dim)


def rotated(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn queries or keys (H, n, d) by the tower's rotary tables (n, d)."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cos.float() + torch.cat((-second, first), dim=-1) * sin.float()


def found(share: Tensor, keys: Tensor, leading: int = 0) -> Tensor:
    """(n, 1 + d): the saliency of every row, then the mean over heads of its keys (H, n, d).

    Saliency is the `share` (n,) of the attention times the number of patches. Shares add up to 1 in
    every picture, crop or frame, so a small one would win with them against a large one; 1 is what
    a patch gets where attention is spread evenly, whatever their number.

    The first `leading` rows are class tokens and no patches.
    """
    saliency = share * (len(share) - leading)
    return torch.cat((saliency[:, None], keys.mean(dim=0)), dim=1)


def _by_head(rows: Tensor, depth: int) -> Tensor:
    return rows.view(len(rows), -1, depth).transpose(0, 1).float()
