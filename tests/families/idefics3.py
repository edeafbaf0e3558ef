"""A tiny Idefics3 and a tiny SmolVLM: tiles with text between them, then the whole picture."""

from __future__ import annotations

from functools import partial
from typing import Any

from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlamaConfig,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

from tests.families import parts

TILE = 32
PATCH = 4
SHUFFLE = 2
LONGEST = 96  # every picture is stretched to this before it is cut into tiles
SPECIALS = (
    *("<|im_start|>", "<|im_end|>", "<end_of_utterance>"),
    *("<fake_token_around_image>", "<global-img>", "<image>"),
    *(f"<row_{row}_col_{col}>" for row in range(1, 4) for col in range(1, 4)),
)
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% elif part['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """The row and column marks are single tokens, as in the released models."""
    return parts.tokenizer(
        SPECIALS,
        "<end_of_utterance>",
        "<|im_end|>",
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
        end_of_utterance_token="<end_of_utterance>",
    )


def model(config_class: Any, model_class: Any, attention: str = "sdpa", seed: int = 0) -> Any:
    """See `Family.model`."""
    words = tokenizer()
    config = config_class(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": TILE,
            "patch_size": PATCH,
        },
        text_config=LlamaConfig(
            vocab_size=len(words),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            bos_token_id=words.convert_tokens_to_ids("<|im_start|>"),
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
            tie_word_embeddings=False,
        ).to_dict(),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=SHUFFLE,
        tie_word_embeddings=False,
    )
    network = model_class._from_config(config, attn_implementation=attention)
    return parts.enliven(network, words, seed)


def _pictures(processor_class: Any) -> Any:
    return processor_class(
        size={"longest_edge": LONGEST}, max_image_size={"longest_edge": TILE}, resample=3
    )


def processor() -> Idefics3Processor:
    """See `Family.processor`."""
    return Idefics3Processor(
        image_processor=_pictures(Idefics3ImageProcessor),
        tokenizer=tokenizer(),
        image_seq_len=(TILE // PATCH // SHUFFLE) ** 2,
        chat_template=CHAT_TEMPLATE,
    )


def smolvlm_processor() -> SmolVLMProcessor:
    """See `Family.processor`."""
    return SmolVLMProcessor(
        image_processor=_pictures(SmolVLMImageProcessor),
        tokenizer=tokenizer(),
        video_processor=SmolVLMVideoProcessor(),
        image_seq_len=(TILE // PATCH // SHUFFLE) ** 2,
        chat_template=CHAT_TEMPLATE,
    )


FAMILY = parts.Family(
    "idefics3", partial(model, Idefics3Config, Idefics3ForConditionalGeneration), processor
)
SMOLVLM = parts.Family(
    "smolvlm", partial(model, SmolVLMConfig, SmolVLMForConditionalGeneration), smolvlm_processor
)
