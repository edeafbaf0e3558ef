"""What a measurement was made with, in words."""

from __future__ import annotations

import torch
import transformers

from iwp import measure
from iwp.adapters.base import VLM


def described(vlm: VLM) -> dict[str, str]:
    """Model, device, versions, number type, attention kernel and CPU threads, as they are now."""
    return {
        "model": vlm.name,
        "device": measure.device_name(vlm.device),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numbers": str(vlm.model.dtype).removeprefix("torch."),
        "attention": vlm.attention,
        "CPU threads": str(torch.get_num_threads()),
    }


def sentence(words: dict[str, str]) -> str:
    """The same as one line."""
    return "; ".join(f"{name}: {value}" for name, value in words.items())
