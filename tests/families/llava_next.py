"""A tiny LLaVA-NeXT: a base crop and a grid of crops, unpadded, with a token after each row."""

from __future__ import annotations

from typing import Any

from transformers import (
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
)

from tests.families import llava, parts

CROP = llava.CROP
PATCH = llava.PATCH
PINPOINTS = [[CROP * rows, CROP * cols] for rows, cols in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))]


def model(attention: str = "sdpa", seed: int = 0) -> Any:
    """See `Family.model`."""
    words = llava.tokenizer()
    config = LlavaNextConfig(
        vision_config=llava.vision().to_dict(),
        text_config=llava.text(words).to_dict(),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=(CROP // PATCH) ** 2,
    )
    network = LlavaNextForConditionalGeneration._from_config(config, attn_implementation=attention)
    return parts.enliven(network, words, seed)


def processor() -> LlavaNextProcessor:
    """See `Family.processor`."""
    return LlavaNextProcessor(
        image_processor=LlavaNextImageProcessor(
            size={"shortest_edge": CROP},
            crop_size={"height": CROP, "width": CROP},
            image_grid_pinpoints=PINPOINTS,
        ),
        tokenizer=llava.tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=llava.CHAT_TEMPLATE,
    )


FAMILY = parts.Family("llava_next", model, processor)
