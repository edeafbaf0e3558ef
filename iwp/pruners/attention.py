"""The attention of single rows, recomputed: no layer has to hand out its attention map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView


def log_attention(query: Tensor, keys: Tensor) -> Tensor:
    """Log of the attention of one row: the mean over heads of softmax(q K^T / sqrt d).

    In logarithms, tokens keep their order where the softmax itself underflows.

    Args:
        query: (H, d) of the row, after rotary.
        keys: (Hkv, S, d) of all rows that it may look at, after rotary; H a multiple of Hkv.

    Returns:
        (S,) float32.
    """
    heads, d = query.shape
    grouped = query.float().view(keys.shape[0], -1, d)
    logs = grouped @ keys.float().transpose(1, 2) / math.sqrt(d)
    return logs.log_softmax(dim=-1).flatten(0, 1).logsumexp(dim=0) - math.log(heads)


def last_row(view: LayerView) -> Tensor:
    """(n,) float32 log of the attention that the prompt's last row pays to each visual token.

    It is the layer's own attention, normalised over the whole prompt.
    """
    last = view.prompt[-1:]
    query = view.rotate(view.queries(last), last)[:, 0]
    keys = view.rotate(view.keys, view.prompt)
    return log_attention(query, keys)[view.visual_in_prompt]
