"""How the next token is picked: the likeliest one, or one drawn at a temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from iwp.types import Decoding


def likeliest(logits: Tensor) -> int:
    """The token of the largest of (V,) logits."""
    return int(logits.argmax())


def picker(decoding: Decoding) -> Callable[[Tensor], int]:
    """What picks the tokens of one answer. Each call begins the same row of random numbers."""
    if decoding.temperature == 0:
        return likeliest
    # On the CPU: the same draws whatever the device.
    numbers = torch.Generator().manual_seed(decoding.seed)

    def draw(logits: Tensor) -> int:
        # The largest is 0: nothing overflows, however low the temperature.
        scaled = (logits - logits.max()).double().cpu() / decoding.temperature
        return int(torch.multinomial(scaled.softmax(dim=-1), 1, generator=numbers))

    return draw
