"""The attention of single rows, recomputed: no layer has to hand out its attention map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

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


def received(view: LayerView, rows: Tensor, weights: Tensor | None = None) -> Tensor:
    """(H, n) float32 attention that rows of the prompt pay to each visual token, added up by head.

    It is the layer's own attention: every row looks at itself and at what is before it.

    Args:
        view: the layer and the prompt.
        rows: (r,) int64 rows of the prompt.
        weights: (r, n) what each attention weight counts; None counts all as 1.
    """
    queries, keys = view.rotate(view.queries(rows), rows), view.rotate(view.keys, view.prompt)
    ahead = view.prompt > rows[:, None]
    found = []
    for key, group in zip(keys, queries.chunk(len(keys)), strict=True):  # tables of heads are large
        logs = group @ key.T / math.sqrt(key.shape[-1])
        paid = logs.masked_fill_(ahead, -torch.inf).softmax(dim=-1)[..., view.visual_in_prompt]
        found.append((paid if weights is None else paid * weights).sum(dim=1))
    return torch.cat(found)
