"""Attention of one new row over slots, of which only some are filled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from iwp.support import decoder_of


def attention(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float) -> Tensor:
    """What one row per head finds in the slots.

    Heads that share keys are the rows of one product, so that no key is copied for them, and long
    caches are read by the whole device. Fused kernels would be given a mask, and then read the
    keys of a head with a single block.

    Args:
        query: (1, H, 1, d).
        keys: (1, Hkv, slots, d), query heads in Hkv groups.
        values: the same of the values.
        mask: (1, slots) float32 added to the scores, -inf where a slot is not to be seen.
        scaling: factor of the scores.

    Returns:
        (1, 1, H, d)
    """
    rows = query.reshape(keys.shape[1], -1, query.shape[-1])
    weights = _scores(rows, keys[0]).mul_(scaling).add_(mask).softmax(dim=-1)
    return (weights.to(values.dtype) @ values[0]).reshape(1, 1, query.shape[1], -1)


@contextmanager
def looking(model: Any, masks: Mapping[int, Tensor]) -> Iterator[None]:
    """Let the decoder attend by `attention` inside the block, which reads one token.

    Args:
        model: a transformers model that is `regular`; the caller holds its lock.
        masks: for each layer's number, see `attention`.
    """
    config, name = decoder_of(model).config, f"iwp_one_row_{id(masks)}"

    def attend(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *_: Any,
        scaling: float | None = None,
        softcap: float | None = None,
        **__: Any,
    ) -> tuple[Tensor, None]:
        if softcap is not None or scaling is None:
            raise NotImplementedError("scores that are capped, or scaled by something unsaid")
        return attention(query, key, value, masks[module.layer_idx], scaling), None

    before = config._attn_implementation
    ALL_ATTENTION_FUNCTIONS[name] = attend
    try:
        config._attn_implementation = name
        yield
    finally:
        config._attn_implementation = before
        del ALL_ATTENTION_FUNCTIONS[name]


def regular(model: Any) -> bool:
    """Whether `looking` reaches every layer's attention."""
    decoder = decoder_of(model)
    modules: list[Any] = [getattr(layer, "self_attn", None) for layer in decoder.layers]
    return all(
        getattr(module, "config", None) is decoder.config and module.layer_idx == number
        for number, module in enumerate(modules)
    )


def _scores(rows: Tensor, keys: Tensor) -> Tensor:
    """(h, r, d), (h, slots, d) -> (h, r, slots) float32 products."""
    if rows.is_cuda and rows.dtype != torch.float32:
        # Rounding large scores to 16 bits would change the weights by percents.
        return torch.bmm(rows, keys.transpose(1, 2), out_dtype=torch.float32)
    return (rows @ keys.transpose(1, 2)).float()
