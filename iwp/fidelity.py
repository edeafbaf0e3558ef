"""What pruning loses: the dual weight, the attention's output, the first token.

Pure functions of tensors; keys and queries after rotary. Sums are float64, so that an error near 0
is one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from iwp import dual

CHUNK = 128
"""Tokens whose pairs with all others are held at once."""
QUERIES = 64
"""Most queries whose attention is held at once."""
LEAST_MASS = 1e-140
"""A share of the attention whose square is still a float64."""


# --- the dual weight -------------------------------------------------------------------------


def dual_weight_curve(
    k: Tensor, v: Tensor, order: Tensor, counts: Tensor | None = None, chunk: int = CHUNK
) -> Tensor:
    """Relative error of the dual weight after keeping the first m tokens of a ranking.

    ||W_N - W_S|| / ||W_N|| in the Hilbert-Schmidt norm (Lemma 3, Eq. 21, with the softmax's kernel,
    App. E.8.2), mean over heads. By Proposition 1 <dW_i, dW_j> = S_ij ||dW_i|| ||dW_j||, where
    nothing overflows once a head's largest ||dW_i|| is divided out. One pass over all pairs
    gives every m: one token more that is dropped adds its pairs with those dropped already.

    Args:
        k: (Hkv, n, d) keys of the visual tokens.
        v: (Hkv, n, d) their values.
        order: (n,) int64 all tokens, the one that is kept longest first.
        counts: (c,) int64 the m asked for, 0 .. n; all of them by default.
        chunk: memory is Hkv x chunk x n numbers.

    Returns:
        (n + 1,) or (c,) float32. 1 for m = 0 and 0 for m = n; not always falling in between.
        0 for a head whose weight is 0.
    """
    k, v = k[:, order].float(), v[:, order].float()
    logs = dual.log_update_norm(k, v)
    top = logs.amax(dim=1, keepdim=True)
    sizes = (logs - torch.where(top.isfinite(), top, 0.0)).exp()  # (Hkv, n), at most 1
    width = dual.kernel_width(k)
    added = []
    for start in range(0, k.shape[1], chunk):
        rows = slice(start, start + chunk)
        pairs = dual.update_cosine(k[:, rows], k[:, start:], v[:, rows], v[:, start:], width)
        pairs.mul_(sizes[:, rows, None]).mul_(sizes[:, None, start:])
        # Token i brings its own square and, twice, its pairs with all that were dropped before.
        added.append(2.0 * pairs.triu(1).sum(-1) + pairs.diagonal(dim1=1, dim2=2))
    brought = _double(torch.cat((*added, torch.zeros_like(sizes[:, :1])), dim=1))
    lost = brought.flip(1).cumsum(1).flip(1).clamp_(min=0.0)  # (Hkv, n + 1) ||W_N - W_S||^2
    whole = lost[:, :1]
    errors = (lost / torch.where(whole > 0, whole, 1.0)).sqrt()
    return _at(counts, errors.mean(0).float().to(k.device))


def dual_weight_error(k: Tensor, v: Tensor, kept: Tensor) -> float:
    """Relative error of the dual weight where only the tokens `kept` remain.

    Args:
        k: (Hkv, n, d) keys of the visual tokens.
        v: (Hkv, n, d) their values.
        kept: (m,) int64 numbers of the kept tokens, each once.
    """
    return float(dual_weight_curve(k, v, _kept_first(kept, k.shape[1]))[kept.shape[0]])


# --- the attention's output ------------------------------------------------------------------


def attention_output_curve(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: Tensor,
    visual: Tensor,
    order: Tensor,
    counts: Tensor | None = None,
) -> Tensor:
    """Relative error of the attention's output after keeping the first m tokens of a ranking.

    ||o_S(q) - o_N(q)|| / ||o_N(q)||, mean over queries. o is Eq. 4 with the causal mask that the
    layer uses: a query attends to the prompt's tokens up to its own, o_S leaves out the dropped
    visual ones and normalises anew. The heads' outputs stand side by side, as the layer's output
    projection reads them. A head whose kept tokens had less than `LEAST_MASS` of the attention
    counts as one that puts out 0.

    Args:
        q: (H, T, d) queries.
        k: (Hkv, S, d) keys of all prompt tokens.
        v: (Hkv, S, d) values.
        rows: (T,) int64 the queries' own numbers among the S, none of them visual.
        visual: (n,) int64 the visual tokens' numbers among the S.
        order: (n,) int64 all visual tokens, 0 .. n-1, the one that is kept longest first.
        counts: (c,) int64 the m asked for, 0 .. n; all of them by default.

    Returns:
        (n + 1,) or (c,) float32, 0 for m = n.
    """
    exact = [_double(heads) for heads in (q, k, v)]
    device = exact[0].device
    errors = []
    for first in range(0, rows.shape[0], QUERIES):
        part = slice(first, first + QUERIES)
        own, ranked = rows[part].to(device), visual[order].to(device)
        errors.append(_output_errors(exact[0][:, part], exact[1], exact[2], own, ranked))
    return _at(counts, torch.cat(errors).mean(0).float().to(q.device))


def attention_output_error(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor, visual: Tensor, kept: Tensor
) -> float:
    """Relative error of the attention's output where only the visual tokens `kept` remain.

    Arguments as for `attention_output_curve`; `kept` (m,) int64 are numbers of visual tokens, each
    once.
    """
    order = _kept_first(kept, visual.shape[0])
    return float(attention_output_curve(q, k, v, rows, visual, order)[kept.shape[0]])


def _output_errors(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, ranked: Tensor) -> Tensor:
    """(T, n + 1) relative errors, one row per query; `ranked` are the visual tokens among the S."""
    hidden = torch.arange(k.shape[1], device=k.device) > rows[:, None]
    squares = q.new_zeros(rows.shape[0], ranked.shape[0] + 1)
    wholes = q.new_zeros(rows.shape[0], 1)
    for queries, keys, values in zip(q.chunk(k.shape[0]), k, v, strict=True):
        logits = queries @ keys.T / math.sqrt(k.shape[-1])  # (H / Hkv, T, S)
        weights = logits.masked_fill(hidden, -math.inf).softmax(-1)
        text, added = weights.index_fill(-1, ranked, 0.0), weights[..., ranked]
        # With A the sum of w_i v_i over S and z that of w_i, o_S = A / z. Both grow with m:
        # (H / Hkv, T, n + 1) each of z, A . o_N and ||A||^2.
        whole, start, picked = weights @ values, text @ values, values[ranked]
        z = _grown(text.sum(-1), added)
        along = _grown((start * whole).sum(-1), added * (whole @ picked.T))
        length = _grown(start.square().sum(-1), _growth(start, added, picked))
        norm = whole.square().sum(-1, keepdim=True)
        some = z > LEAST_MASS
        z = torch.where(some, z, 1.0)
        square = length / z.square() - 2.0 * along / z + norm
        squares += torch.where(some, square, norm).sum(0)
        wholes += norm.sum(0)
    squares[:, -1] = 0.0  # everything is kept: what is left of the differences is rounding
    return (squares.clamp_(min=0.0) / torch.where(wholes > 0, wholes, 1.0)).sqrt()


def _grown(start: Tensor, steps: Tensor) -> Tensor:
    """(...) and (..., n) -> (..., n + 1): the start, and after every step."""
    return torch.cat((start[..., None], steps), dim=-1).cumsum(-1)


def _growth(start: Tensor, added: Tensor, picked: Tensor) -> Tensor:
    """(..., n): what ||A||^2 gains with every step from A to A + w_m v_m.

    Args:
        start: (..., d) the first A.
        added: (..., n) weights w_m.
        picked: (n, d) vectors v_m.
    """
    along = []
    for first in range(0, picked.shape[0], CHUNK):
        vectors, weights = picked[first : first + CHUNK], added[..., first : first + CHUNK]
        gram = vectors @ vectors.T
        # v_m . A before step m, and half of its own square
        along.append(start @ vectors.T + weights @ gram.triu(1) + weights * gram.diagonal() / 2.0)
        start = start + weights @ vectors
    return 2.0 * added * torch.cat(along, dim=-1)


# --- the first token, and helpers ------------------------------------------------------------


def first_token_kl(baseline_logits: Tensor, pruned_logits: Tensor) -> float:
    """KL(baseline || pruned) of the first token's distribution in nats, from (V,) logits."""
    baseline = _double(baseline_logits).log_softmax(-1)
    pruned = _double(pruned_logits).log_softmax(-1)
    return max(0.0, float(kl_div(pruned, baseline, reduction="sum", log_target=True)))


def shortest_prefix(curve: Tensor, tolerance: float) -> int:
    """The least m >= 1 with curve[m] <= tolerance, of a curve (n + 1,) that ends with 0."""
    return 1 + int((curve[1:] <= tolerance).int().argmax())


def _at(counts: Tensor | None, curve: Tensor) -> Tensor:
    return curve if counts is None else curve[counts.to(curve.device)]


def _kept_first(kept: Tensor, n: int) -> Tensor:
    """(m,) numbers -> (n,) an order of all tokens that begins with them."""
    dropped = torch.ones(n, dtype=torch.uint8, device=kept.device)
    return dropped.index_fill_(0, kept, 0).argsort(stable=True)


def _double(x: Tensor) -> Tensor:
    """In float64; on the CPU where the device has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()
