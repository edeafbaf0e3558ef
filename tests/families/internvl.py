"""A tiny InternVL3: tiles and a thumbnail, four patches to a token, and a Qwen2 decoder."""

from __future__ import annotations

from typing import Any

from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    InternVLVisionConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from tests.families import parts

TILE = 32
PATCH = 4
SHUFFLE = 0.5
MAX_TILES = 6
NAMED = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *NAMED.values())
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\\n' }}"
    "{% elif part['type'] == 'video' %}{{ '<video>\\n' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """The tokens that InternVL's processor looks up by attribute."""
    return parts.tokenizer(SPECIALS, "<|im_end|>", "<|endoftext|>", **NAMED)


def model(attention: str = "sdpa", seed: int = 0) -> Any:
    """See `Family.model`."""
    words = tokenizer()
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=TILE,
            patch_size=PATCH,
            layer_scale_init_value=1.0,
        ).to_dict(),
        text_config=Qwen2Config(
            vocab_size=len(words),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            bos_token_id=None,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
            tie_word_embeddings=False,
        ).to_dict(),
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=int((TILE // PATCH * SHUFFLE) ** 2),
        downsample_ratio=SHUFFLE,
        tie_word_embeddings=False,
    )
    network = InternVLForConditionalGeneration._from_config(config, attn_implementation=attention)
    return parts.enliven(network, words, seed)


def processor() -> InternVLProcessor:
    """See `Family.processor`."""
    size = {"height": TILE, "width": TILE}
    return InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size, min_patches=1, max_patches=MAX_TILES),
        tokenizer=tokenizer(),
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=int((TILE // PATCH * SHUFFLE) ** 2),
        chat_template=CHAT_TEMPLATE,
    )


FAMILY = parts.Family("internvl", model, processor)
