"""The attention masks of layers after a cut, in the form that each kernel takes."""

from __future__ import annotations

import torch
from torch import Tensor


def attention_mask(kernel: str, real: Tensor | None, past: int, like: Tensor) -> Tensor | None:
    """The causal mask of new rows that follow `past` cached ones, or None where none is needed.

    Without padding the kernels know causality themselves, and are fastest without a mask.

    Args:
        kernel: "eager", "sdpa", or the name of a flash attention.
        real: (B, past + S) bool, false at padding; None where there is none.
        past: rows in the cache of these layers.
        like: (B, S, D) hidden states of the new rows: gives number, device and dtype.

    Returns:
        (B, past + S) bool for flash attention, (B or 1, 1, S, past + S) for the others: bool for
        sdpa, added to the scores for eager.
    """
    new = like.shape[1]
    real = None if real is None else real.to(like.device)
    if "flash" in kernel or (real is None and (new == 1 or (kernel == "sdpa" and past == 0))):
        return real
    rows = torch.arange(past, past + new, device=like.device)[:, None]
    columns = torch.arange(past + new, device=like.device)
    allowed = (columns <= rows)[None, None]
    if real is not None:
        # Padding sees itself: a row that sees nothing would be undefined.
        allowed = allowed & (real[:, None, None] | (columns == rows))
    if kernel == "sdpa":
        return allowed
    hidden = torch.zeros(allowed.shape, dtype=like.dtype, device=like.device)
    return hidden.masked_fill(~allowed, torch.finfo(like.dtype).min)
