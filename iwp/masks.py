"""The attention masks of layers after a cut, in the form that each kernel takes."""

from __future__ import annotations

import torch
from torch import Tensor

from iwp.columns import Columns


def attention_mask(kernel: str, keys: Columns, past: int, like: Tensor) -> Tensor | None:
    """The causal mask of new rows that follow `past` cached ones, or None where none is needed.

    With neither padding nor bias the kernels know causality themselves, and are fastest without.

    Args:
        kernel: "eager", "sdpa", or the name of a flash attention.
        keys: the past + S columns that the new rows look at, without a bias for flash attention.
        past: rows in the cache of these layers.
        like: (B, S, D) hidden states of the new rows: gives number, device and dtype.

    Returns:
        (B, past + S) bool for flash attention, (B or 1, 1, S, past + S) for the others: bool for
        sdpa without bias, else added to the scores.
    """
    new = like.shape[1]
    bias = keys.bias
    real = None if keys.real is None else keys.real.to(like.device)
    plain = real is None and bias is None
    if "flash" in kernel or (plain and (new == 1 or (kernel == "sdpa" and past == 0))):
        return real
    rows = torch.arange(past, past + new, device=like.device)[:, None]
    columns = torch.arange(past + new, device=like.device)
    allowed = (columns <= rows)[None, None]
    if real is not None:
        # Padding sees itself: a row that sees nothing would be undefined.
        allowed = allowed & (real[:, None, None] | (columns == rows))
    if bias is not None:
        added = bias.to(like)[:, None, None]
    elif kernel == "sdpa":
        return allowed
    else:
        added = torch.zeros((), dtype=like.dtype, device=like.device)
    return added.masked_fill(~allowed, torch.finfo(like.dtype).min)
