"""A tiny random Qwen3-VL: DeepStack from three layers of its tower, interleaved M-RoPE."""

from __future__ import annotations

from typing import Any

from transformers import (
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from tests.families import parts, qwen

PATCH = 6


def config() -> Qwen3VLConfig:
    """Tower layers 0, 1 and 2 feed decoder layers 0, 1 and 2; position grid of 8 x 8."""
    vision = {
        "depth": 4,
        "hidden_size": 32,
        "intermediate_size": 64,
        "out_hidden_size": 64,
        "num_heads": 2,
        "patch_size": PATCH,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1, 2],
    }
    text = qwen.decoder((4, 2, 2), head_dim=16)
    text["rope_parameters"]["mrope_interleaved"] = True
    return Qwen3VLConfig(vision_config=vision, text_config=text, **qwen.token_ids())


def model(attention: str = "sdpa", seed: int = 0) -> Any:
    """See `Family.model`."""
    network = Qwen3VLForConditionalGeneration._from_config(config(), attn_implementation=attention)
    return parts.enliven(network, qwen.tokenizer(), seed)


def processor() -> Qwen3VLProcessor:
    """See `Family.processor`."""
    return qwen.processor(Qwen3VLProcessor, PATCH, Qwen3VLVideoProcessor)


FAMILY = parts.Family("qwen3_vl", model, processor)
