"""Progressive chunked maximal marginal relevance. Knows nothing about models or images."""

from __future__ import annotations

import torch
from torch import Tensor

from iwp import dual


def progressive_chunked_mmr(
    scores: Tensor,
    k: Tensor,
    v: Tensor,
    keep: int,
    chunk: int = 2,
    growth: int = 2,
    penalty: float = 5.0,
    floor: float = 0.01,
    bandwidth: str = "sqrt_d",
) -> Tensor:
    """Algorithm 1 with the dual similarity of Eq. 12.

    Args:
        scores: (n,) magnitudes, not negative.
        k: (Hkv, n, d) keys of the visual tokens after rotary.
        v: (Hkv, n, d) values.
        keep: how many tokens to choose.
        chunk: size of the first chunk.
        growth: factor by which chunks grow.
        penalty: lambda, the weight of duplication.
        floor: the least factor a penalty multiplies a score with.
        bandwidth: see `dual.kernel_width`.

    Returns:
        (keep,) int64 token numbers in the order of their selection. A run with a smaller `keep`
        gives a prefix of it.
    """
    similarity = dual.similarity_between(k, v, dual.kernel_width(k, bandwidth))
    return select_in_chunks(scores.float().log(), keep, similarity, chunk, growth, penalty, floor)


def select_in_chunks(
    log_scores: Tensor,
    keep: int,
    similarity: dual.Similarity | None,
    chunk: int = 2,
    growth: int = 2,
    penalty: float = 5.0,
    floor: float = 0.01,
) -> Tensor:
    """Algorithm 1 with any similarity, or with none: then the highest scores are chosen.

    Arguments and result as `progressive_chunked_mmr`, but for the logarithms of the scores: those
    too small for a float still have an order. Chunk sizes follow from n and `keep` alone, so a
    device is never waited for. Ties go to the lower token number.
    """
    if similarity is None:
        return log_scores.argsort(descending=True, stable=True)[:keep]
    # A score of 0 is worth more than none: chosen tokens sink to -inf, all others stay above.
    lowest = torch.finfo(torch.float32).min
    left = log_scores.float().clamp(min=lowest)
    numbers = torch.arange(left.shape[0], device=left.device)
    gone = torch.zeros_like(left, dtype=torch.bool)
    others = left.shape[0]
    chosen: list[Tensor] = []
    sizes = chunk_sizes(min(keep, others), chunk, growth)
    for number, size in enumerate(sizes, start=1):
        # A stable sort, because topk may order ties differently from one run to the next.
        order = left.argsort(descending=True, stable=True)
        new = order[:size]
        chosen.append(numbers[new])
        if number == len(sizes):
            break
        others -= size
        added = similarity.take(new)
        if others < left.shape[0] // 2:
            # Only now: to gather all keys for every chunk costs more than to compare a few rows
            # in vain.
            rest = order[size : size + others].sort().values  # ties go to the lower number
            numbers, left, similarity = numbers[rest], left[rest], similarity.take(rest)
            gone = torch.zeros_like(left, dtype=torch.bool)
        else:
            gone.index_fill_(0, new, True)
        kept = (1.0 - penalty * similarity.most(added)).clamp_(min=floor).log_()
        left = kept.add_(left).clamp_(min=lowest).masked_fill_(gone, -torch.inf)
    return torch.cat(chosen) if chosen else numbers[:0]


def chunk_sizes(keep: int, chunk: int = 2, growth: int = 2) -> list[int]:
    """Sizes of the chunks for `keep` tokens: chunk, chunk * growth, ..., and what is left."""
    sizes = []
    while keep > 0:
        sizes.append(min(chunk, keep))
        keep -= sizes[-1]
        chunk *= growth
    return sizes


def ranks_of(order: Tensor) -> Tensor:
    """Order of selection (n,) of all tokens -> (n,) rank of every token."""
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(order.shape[0], device=order.device)
    return ranks
