"""Greedy answers to one question after several cuts, decoded as one batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from iwp.generate import Prefill
from iwp.reading import alone
from iwp.support import cache_argument


@torch.no_grad()
def decode_together(
    model: Any, states: Sequence[Prefill], max_new_tokens: int, stop_ids: Collection[int]
) -> list[list[int]]:
    """What `iwp.generate.decode` yields for each of these prompts.

    A step of a small model costs hardly more for a batch than for one row.

    Args:
        model: a transformers model with sdpa attention, which needs no mask for a single new row.
        states: prompts that end at the same position, with equally long caches in every layer and
            no key that is weighed: one prompt after cuts of the same size before the same layer.
        max_new_tokens: as for `decode`.
        stop_ids: as for `decode`.
    """
    cache = DynamicCache(config=model.config)
    for number, layers in enumerate(zip(*(s.cache.layers for s in states), strict=True)):
        keys = torch.cat([layer.keys for layer in layers])
        cache.update(keys, torch.cat([layer.values for layer in layers]), number)
    places = states[0].next_position
    places = places.expand(*places.shape[:-2], len(states), 1)
    tokens = torch.stack([state.logits.argmax() for state in states])
    answers: list[list[int]] = [[] for _ in states]
    going = set(range(len(states)))
    for number in range(max_new_tokens):
        for row, token in enumerate(tokens.tolist()):
            if token in stop_ids:
                going.discard(row)
            if row in going:
                answers[row].append(token)
        if not going or number + 1 == max_new_tokens:
            break
        with alone(model):
            output = model(
                input_ids=tokens[:, None],
                position_ids=places + number,
                use_cache=True,
                logits_to_keep=1,
                **cache_argument(model, cache),
            )
        tokens = output.logits[:, -1].float().argmax(dim=-1)
    return answers
