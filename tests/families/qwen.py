"""What the tiny Qwen models share: special tokens, a chat template and the image processor."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

from tests.families import parts

SPECIALS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nBe helpful.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte level, with Qwen's special tokens."""
    return parts.tokenizer(SPECIALS, eos="<|im_end|>", pad="<|endoftext|>")


def pictures(patch: int) -> dict[str, Any]:
    """The arguments that the image and the video processor share: 4 to 48 tokens a picture."""
    cell = (2 * patch) ** 2
    return {"patch_size": patch, "size": {"shortest_edge": 4 * cell, "longest_edge": 48 * cell}}


def processor(kind: Any, patch: int = 4, video: Any = Qwen2VLVideoProcessor) -> Any:
    """A processor of the given class; a visual token covers 2 x 2 patches."""
    return kind(
        image_processor=Qwen2VLImageProcessor(**pictures(patch)),
        tokenizer=tokenizer(),
        video_processor=video(**pictures(patch)),
        chat_template=CHAT_TEMPLATE,
    )


def token_ids() -> dict[str, int]:
    """The ids that every Qwen configuration names."""
    ids = tokenizer().convert_tokens_to_ids
    return {
        "image_token_id": ids("<|image_pad|>"),
        "video_token_id": ids("<|video_pad|>"),
        "vision_start_token_id": ids("<|vision_start|>"),
        "vision_end_token_id": ids("<|vision_end|>"),
    }


def decoder(sections: tuple[int, int, int], **more: Any) -> dict[str, Any]:
    """Arguments of a text configuration: 6 layers, heads of 16, four query heads on two.

    Half of a head's 16 numbers are frequencies, shared out by `sections` to time, height, width.
    """
    vocabulary = tokenizer()
    rope = {"rope_type": "default", "mrope_section": list(sections), "rope_theta": 10000.0}
    return {
        "vocab_size": len(vocabulary),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": vocabulary.eos_token_id,
        "pad_token_id": vocabulary.pad_token_id,
        "rope_parameters": rope,
        **more,
    }
