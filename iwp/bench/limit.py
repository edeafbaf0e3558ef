"""The least that a token can take: reading the weights once, at the speed of the memory."""

from __future__ import annotations

from statistics import median
from typing import Any

import torch

from iwp import measure
from iwp.support import decoder_of

_BYTES = 2**30  # beyond what caches hold, also a server processor's
_REPEATS = 7


def bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy on the device reads and writes together, the median of some."""
    source = torch.ones(_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    taken = []
    for _ in range(_REPEATS + 1):  # the first one warms up
        watch = measure.Stopwatch(device)
        target.copy_(source)
        taken.append(watch.seconds())
    return 2 * source.nbytes / median(taken[1:])


def weights_read(model: Any) -> int:
    """Bytes of the weights that one token needs: the decoder's and the vocabulary's, each once.

    Of the input embeddings a token needs one row.
    """
    words = model.get_input_embeddings().weight
    out = model.get_output_embeddings()
    needed = {
        id(weight): weight for part in (decoder_of(model), out) for weight in part.parameters()
    }
    if out.weight is not words:
        needed.pop(id(words), None)
    return sum(weight.nbytes for weight in needed.values())


def token_s(model: Any, device: torch.device) -> float:
    """Seconds of a token if nothing but the weights took any time."""
    return weights_read(model) / bandwidth(device)
