"""Proof, on the device at hand, that fast decoding says what stock decoding says."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from iwp import generate
from iwp.picking import likeliest
from iwp.steps import Fast, onward

if TYPE_CHECKING:
    from iwp.pruners.base import Pruner

_STEPS: Final = 6  # the first of them is recorded, the others are replayed
_NEAR: Final = 0.05
"""Of the logits' spread. Kernels in 16 bits differ by about a hundredth of it; a key that is read
too early, or not at all, makes more of a difference than that."""


@torch.no_grad()
def holds(model: Any, inputs: Mapping[str, Any], pruner: Pruner | None) -> bool:
    """Whether fast steps give the logits of stock ones after a prompt; warns where they differ.

    Args:
        model: a transformers vision-language model.
        inputs: the arguments of `iwp.generate.prefill` for the prompt.
        pruner: cuts the prompt, so that layers have caches of different lengths.
    """
    state = generate.prefill(model, **inputs, pruner=pruner)
    given = (state.next_position, state.biases, _STEPS)
    stock = onward(model, state.cache, *given, fast=False)
    tokens, expected = [likeliest(state.logits)], list[Tensor]()
    for _ in range(_STEPS):
        expected.append(stock.read(tokens[-1]))
        tokens.append(likeliest(expected[-1]))

    state = generate.prefill(model, **inputs, pruner=pruner)
    fast = onward(model, state.cache, *given, fast=True)
    if not isinstance(fast, Fast):
        return False
    errors = [
        _error(fast.read(token), logits) for token, logits in zip(tokens, expected, strict=False)
    ]
    if not fast.fast:
        return False  # it has said why
    worst = float(torch.stack(errors).max())
    if not worst <= _NEAR:  # also where it is no number
        warnings.warn(
            f"Decoding goes on without fixed caches: here their logits are off by {worst:.0%}.",
            RuntimeWarning,
            stacklevel=2,
        )
    return worst <= _NEAR


def _error(found: Tensor, expected: Tensor) -> Tensor:
    """(V,), (V,) -> () the distance as a fraction of the spread of what is expected."""
    norm = torch.linalg.vector_norm
    error: Tensor = norm(found - expected) / norm(expected - expected.mean())
    return error
