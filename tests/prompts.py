"""Batches of prompts for the tiny models: text and pictures in any order, padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from tests import tiny
from tests.families import FAMILIES, Family

WIDE = tiny.picture(70, 50)
TALL = tiny.picture(40, 90, seed=1)
SMALL = tiny.picture(33, 33, seed=2)
Part = str | Image.Image


def model(family: str, attention: str = "sdpa") -> Any:
    """The tiny model of a family, made once. Do not change it."""
    return _made(family, attention)


@cache
def _made(family: str, attention: str) -> Any:
    return FAMILIES[family].model(attention)


def made(method: Any, **options: Any) -> Any:
    """A method that cuts once, also where its authors cut several times."""
    once = {"later": ()} if "later" in method.__dataclass_fields__ else {}
    return method(**once, **options)


def batch(family: Family, *prompts: Sequence[Part]) -> dict[str, Any]:
    """Model inputs for prompts of text and pictures, padded on the left where they differ."""
    processor = family.processor()
    processor.tokenizer.padding_side = "left"
    texts = [
        processor.apply_chat_template(
            [{"role": "user", "content": [_part(part) for part in prompt]}],
            add_generation_prompt=True,
        )
        for prompt in prompts
    ]
    pictures = [[part for part in prompt if not isinstance(part, str)] for prompt in prompts]
    return dict(processor(text=texts, images=pictures, padding=True, return_tensors="pt"))


def written(model: Any, inputs: dict[str, Any], **options: Any) -> tuple[Tensor, Tensor]:
    """(B, T) tokens that generate() adds, greedy unless told, and (B, T, V) logits for them."""
    asked = {"max_new_tokens": 4, "do_sample": False, **options}
    out = model.generate(**inputs, output_logits=True, return_dict_in_generate=True, **asked)
    return out.sequences[:, inputs["input_ids"].shape[1] :], torch.stack(out.logits, dim=1)


def _part(part: Part) -> dict[str, str]:
    return {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
