"""What a bench asks a model: a picture that is encoded every time, or made-up visual tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from iwp import measure
from iwp.adapters.base import VLM, Inputs
from iwp.errors import InputError
from iwp.question import clean
from iwp.types import Media, Tower

BEFORE, AFTER = 14, 40
"""Text tokens around the made-up visual ones."""

_TOWER_WIDTH = 72
_LIKE = 6  # about so many tokens look alike
_SCALE = 0.02  # of made-up features


@dataclass(frozen=True)
class Read:
    """A prompt as it enters the decoder.

    Attributes:
        inputs: the arguments of `iwp.generate.prefill`.
        encode_s: synchronised seconds that encoding took, without what looking at the vision tower
            did; None where nothing was encoded.
    """

    inputs: Inputs
    encode_s: float | None = None


@dataclass(frozen=True)
class Asked:
    """A prompt that is read again and again.

    Attributes:
        label: what it is, for people.
        n: its visual tokens.
        text: its other tokens.
        read: encodes it.
    """

    label: str
    n: int
    text: int
    read: Callable[[], Read]


def picture(vlm: VLM, width: int, height: int, question: str, looks: bool) -> Asked:
    """A picture of noise, in pixels. Its preparation on the CPU is not a part of reading it.

    `looks`: whether a method asks what the vision tower says.

    Raises:
        InputError: the model cannot read a picture of this shape.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
    media = Media((Image.fromarray(noise.numpy()),))
    prepared = vlm.adapter.prepare(media, clean(question, vlm.processor.tokenizer))

    def read() -> Read:
        tower: Tower | None = None
        watch = measure.Stopwatch(vlm.device)
        if looks:
            features, tower = vlm.adapter.encode_and_look(prepared)
        else:
            features = vlm.adapter.encode(prepared)
        seconds = watch.seconds() - (tower.seconds if tower else 0.0)
        return Read(vlm.adapter.inputs(prepared, features, tower), seconds)

    n, length = prepared.layout.n, prepared.input_ids.shape[1]
    return Asked(f"{width} x {height} pixels", n, length - n, read)


def made_up(vlm: VLM, n: int) -> Asked:
    """Features of n visual tokens between `BEFORE` and `AFTER` rows of text; no tower runs."""
    width = int(vlm.model.get_input_embeddings().weight.shape[1])
    hidden, tower = rows(n, width)
    inputs: Inputs = {
        "embeds": (_SCALE * hidden[None]).to(vlm.device, vlm.model.dtype),
        "visual": torch.arange(BEFORE, BEFORE + n),
        "positions": None,
        "extra": {},
        "tower": tower.to(vlm.device),
    }
    return Asked(f"{n:,} tokens", n, BEFORE + AFTER, lambda: Read(inputs))


def count(word: str) -> int:
    """A number of visual tokens, as a person writes it.

    Raises:
        InputError: it is no whole number above 1.
    """
    if not word.isdecimal() or int(word) < 2:
        raise InputError(f"--tokens takes numbers above 1, with commas between, not {word!r}.")
    return int(word)


def rows(n: int, width: int) -> tuple[Tensor, Tower]:
    """(BEFORE + n + AFTER, width) float32 rows, visual ones in groups that look alike, and a tower.

    What the tower says of the n tokens is made up as well. The same numbers every time.
    """
    generator = torch.Generator().manual_seed(n)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    group = torch.randint(0, max(1, n // _LIKE), (n,), generator=generator)
    hidden = normal(BEFORE + n + AFTER, width)
    hidden[BEFORE : BEFORE + n] = normal(n, width)[group]
    hidden += 0.3 * normal(*hidden.shape)
    tower = Tower(normal(n).softmax(0), normal(n, _TOWER_WIDTH)[group] + 0.3 * normal(n, 1))
    return hidden, tower
