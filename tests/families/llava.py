"""A tiny LLaVA-1.5: a CLIP tower without its class token, and a Llama decoder."""

from __future__ import annotations

from typing import Any

from tokenizers import processors
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from tests.families import parts

CROP = 48
PATCH = 8
# As LLaVA's own: roles are plain text, only the picture is a special token.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper + ': ' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ ' ' }}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Every text begins with <s>, which the template does not write."""
    words = parts.tokenizer(
        ("<s>", "</s>", "<pad>", "<image>"), "</s>", "<pad>", image_token="<image>"
    )
    words.bos_token = "<s>"
    begin = words.bos_token_id
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", begin)]
    )
    return words


def vision(crop: int = CROP, patch: int = PATCH) -> CLIPVisionConfig:
    """Three layers, so that the last but one is not the first."""
    return CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=crop,
        patch_size=patch,
    )


def text(words: PreTrainedTokenizerFast) -> LlamaConfig:
    """Six layers, four query heads on two key/value heads."""
    return LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        tie_word_embeddings=False,
    )


def model(attention: str = "sdpa", seed: int = 0) -> Any:
    """See `Family.model`."""
    words = tokenizer()
    config = LlavaConfig(
        vision_config=vision().to_dict(),
        text_config=text(words).to_dict(),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=(CROP // PATCH) ** 2,
    )
    network = LlavaForConditionalGeneration._from_config(config, attn_implementation=attention)
    return parts.enliven(network, words, seed)


def processor() -> LlavaProcessor:
    """See `Family.processor`: the shorter side is resized to the crop, the middle is cut out."""
    return LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={"shortest_edge": CROP}, crop_size={"height": CROP, "width": CROP}
        ),
        tokenizer=tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


FAMILY = parts.Family("llava", model, processor)
