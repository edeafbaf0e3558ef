"""A tiny random Qwen2-VL: patches of 4 pixels, a token of 2 x 2 patches, M-RoPE."""

from __future__ import annotations

from typing import Any

from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor

from tests.families import parts, qwen


def config() -> Qwen2VLConfig:
    """Sections 2 + 3 + 3 of the eight rotary frequencies."""
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "patch_size": 4}
    return Qwen2VLConfig(
        vision_config=vision, text_config=qwen.decoder((2, 3, 3)), **qwen.token_ids()
    )


def model(attention: str = "sdpa", seed: int = 0) -> Any:
    """See `Family.model`."""
    network = Qwen2VLForConditionalGeneration._from_config(config(), attn_implementation=attention)
    return parts.enliven(network, qwen.tokenizer(), seed)


def processor() -> Qwen2VLProcessor:
    """See `Family.processor`."""
    return qwen.processor(Qwen2VLProcessor)


FAMILY = parts.Family("qwen2_vl", model, processor)
