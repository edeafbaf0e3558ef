"""The text tokens that rate visual ones, and what positions alone add to their attention."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView
    from iwp.types import Embeddings


def rating(at_input: Embeddings) -> Tensor:
    """(r,) int64 numbers of the text tokens that rate, ascending, at least one.

    The mean over visual tokens of the softmax over the text of plain products; raters are above
    the mean of it. Where none is, as with a single token, all rate.
    """
    visual = at_input.visual.float()
    text = at_input.text.to(visual.device).float()
    pointed = (visual @ text.T).softmax(dim=1).mean(dim=0)
    above = pointed > pointed.mean()
    return (above | ~above.any()).nonzero().flatten()


def closeness(view: LayerView, rows: Tensor) -> Tensor:
    """(r, n) what rotary positions make of the product of a row's query and a token's key.

    Of two vectors of ones, divided by sqrt d as the attention does: 2 / sqrt d times the sum of
    cos(distance x frequency). It falls with the distance, and has zeros at large ones.
    """
    attention: Any = view.layer.self_attn
    ones = torch.ones(1, 1, attention.head_dim, device=view.cos.device)

    def turned(of: Tensor) -> Tensor:
        return view.rotate(ones.expand(1, len(of), -1), of).squeeze(0)

    return turned(rows) @ turned(view.visual).T / math.sqrt(ones.shape[-1])
