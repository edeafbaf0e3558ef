"""A tiny random Qwen2.5-VL: windows of 2 x 2 tokens in its tower, one block with full attention."""

from __future__ import annotations

from typing import Any

from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
)

from tests.families import parts, qwen


def config() -> Qwen2_5_VLConfig:
    """Blocks 0 and 2 attend inside windows of 16 x 16 pixels, block 1 to the whole picture."""
    vision = {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 64,
        "out_hidden_size": 64,
        "num_heads": 2,
        "patch_size": 4,
        "window_size": 16,
        "fullatt_block_indexes": [1],
    }
    return Qwen2_5_VLConfig(
        vision_config=vision, text_config=qwen.decoder((2, 3, 3)), **qwen.token_ids()
    )


def model(attention: str = "sdpa", seed: int = 0) -> Any:
    """See `Family.model`."""
    network = Qwen2_5_VLForConditionalGeneration._from_config(
        config(), attn_implementation=attention
    )
    return parts.enliven(network, qwen.tokenizer(), seed)


def processor() -> Qwen2_5_VLProcessor:
    """See `Family.processor`."""
    return qwen.processor(Qwen2_5_VLProcessor)


FAMILY = parts.Family("qwen2_5_vl", model, processor)
