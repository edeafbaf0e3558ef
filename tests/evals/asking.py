"""Conversations with tiny models, as lmms-eval would hand them over."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from PIL import Image

from iwp.adapters import ADAPTERS, VLM
from iwp.evals import conversations
from iwp.evals.conversations import Conversation
from tests.families import FAMILIES


@cache
def vlm(name: str) -> VLM:
    """The tiny model of a family; do not change it."""
    family = FAMILIES[name]
    adapter = ADAPTERS[name](family.model(), family.processor())
    return VLM(adapter.model, adapter.processor, adapter, name, torch.device("cpu"), "sdpa")


def messages(text: str, *pictures: Image.Image, **video: Any) -> list[dict[str, Any]]:
    """One turn; `video` are the fields of a video part, if there is to be one."""
    content: list[dict[str, Any]] = [{"type": "image", "url": one} for one in pictures]
    if video:
        content.append({"type": "video", **video})
    return [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]


def asked(name: str, text: str, *pictures: Image.Image, **video: Any) -> Conversation:
    """That turn as a conversation with the model of this family, at most 4 frames of a video."""
    return conversations.read(vlm(name).processor, messages(text, *pictures, **video), 4)
