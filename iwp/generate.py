"""prefill() and decode(): explicit embeddings, positions and cache, one token at a time.

Knows models and tensors; knows nothing about pictures, processors or text. Batch size 1, no
padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iwp.types import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from torch import Tensor

    from iwp.pruners.base import Pruner
    from iwp.types import Ranking


@dataclass(frozen=True)
class Prefill:
    """A prompt that the model has read. It can be decoded once: decoding grows the cache.

    Attributes:
        logits: (V,) float32 for the first token of the answer.
        cache: the transformers cache, shorter from the cut layer on.
        next_position: (..., 1, 1) int64 rotary position of the first token of the answer: the one
            that the full prompt gives it.
        trace: what the cut did; without a pruner it holds no cuts.
    """

    logits: Tensor
    cache: Any
    next_position: Tensor
    trace: Trace


def prefill(
    model: Any,
    embeds: Tensor,
    visual: Tensor,
    *,
    positions: Tensor | None = None,
    pruner: Pruner | None = None,
    check: Callable[[], None] | None = None,
) -> Prefill:
    """Read a prompt, with a cut where a pruner is given.

    Args:
        model: a transformers vision-language model.
        embeds: (1, S, D) the prompt's embeddings, visual features in place, on the model's device.
        visual: (n,) int64 ascending positions of the visual tokens in the prompt.
        positions: (1, S) or (rows, 1, S) rotary positions; None counts from 0.
        pruner: the method that cuts; None reads every token.
        check: called before every decoder layer; what it raises ends the prefill.

    Raises:
        IWPError: the model or the prompt cannot be cut.
    """
    raise NotImplementedError


def decode(
    model: Any, state: Prefill, max_new_tokens: int, stop_ids: Collection[int]
) -> Iterator[int]:
    """Greedy answer, token by token: the model runs for a token only when it is asked for.

    Ends before a token of `stop_ids`, which is not yielded, or after `max_new_tokens`. To stop
    early, ask for no more.
    """
    raise NotImplementedError


def rank(
    model: Any,
    embeds: Tensor,
    visual: Tensor,
    pruner: Pruner,
    *,
    positions: Tensor | None = None,
    check: Callable[[], None] | None = None,
) -> Ranking:
    """Rank all visual tokens at `pruner.layer`; the layers from there on do not run.

    Arguments as for `prefill`. The ranking's tensors are on the CPU. A cut at any budget b of
    the same method keeps exactly the tokens with `rank < keep_count(n, b)`.

    Raises:
        IWPError: the model or the prompt cannot be cut, or it has no layer `pruner.layer`.
    """
    raise NotImplementedError


def kernel_exponents(
    model: Any, embeds: Tensor, visual: Tensor, *, positions: Tensor | None = None
) -> tuple[float, ...]:
    """Per decoder layer, the median of ||k_i - k_j||^2 / (2 sqrt d) between visual keys.

    Above about 8 the fixed width of the paper's kernel (Eq. 12) takes every pair of tokens for
    unlike ones and the redundancy penalty does nothing: use `bandwidth="median"` there.
    Arguments as for `prefill`.
    """
    raise NotImplementedError
