"""Models of the real sizes with random weights: speed depends on shapes, and nothing is downloaded.

The sizes are those of the checkpoints' public config.json. The tokenizer knows bytes alone, so a
question has more tokens than with the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)
from transformers.initialization import no_init_weights

from iwp.adapters import ADAPTERS, DEMO, VLM
from iwp.adapters.loading import locate, recommended
from iwp.adapters.placement import Placement
from iwp.errors import InputError

_PAPER_LAYER = 4  # before which the paper cuts
_SPREAD = 0.02  # standard deviation of the weights, as the checkpoints' configurations have it
_MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ 'PICTURE' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build(name: str, placement: Placement, layers: int | None = None) -> VLM:
    """A model of these sizes, made on its device in its number type.

    Args:
        name: one of `STAND_INS`.
        placement: device, number type and attention kernel.
        layers: makes the decoder, and the vision tower, no deeper than this; IWP's layer moves with
            the depth, and stays 1 or later.

    Raises:
        InputError: there is no such stand-in, or the layers are too few or too many.
        ModelError: the demo model's folder is not here.
    """
    if name not in STAND_INS:
        raise InputError(f"There are random weights for {', '.join(STAND_INS)}, not for {name!r}.")
    config, processor, advice = STAND_INS[name]()
    depth = config.text_config.num_hidden_layers
    if layers is not None and not 2 <= layers <= depth:
        raise InputError(f"{name} has {depth} layers: shorten it to 2 to {depth}, not to {layers}.")
    label = f"{name}, random weights"
    if layers is not None and layers < depth:
        _shorten(config.text_config, layers)
        _shorten(config.vision_config, layers)
        layer = advice.get("layer", _PAPER_LAYER)
        advice = {**advice, "layer": max(1, round(layer * layers / depth))}
        label += f", {layers} of {depth} layers"
    model = _random(config, placement)
    adapter = ADAPTERS[config.model_type](model, processor)
    return VLM(model, processor, adapter, label, adapter.device, placement.attention, advice)


def _random(config: Any, placement: Placement) -> Any:
    with torch.device(placement.device), no_init_weights():
        model = AutoModelForImageTextToText.from_config(
            config, dtype=placement.dtype, attn_implementation=placement.attention
        )
    model.tie_weights()
    generator = torch.Generator(placement.device).manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0.0, _SPREAD, generator=generator)
            else:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
    return model.eval().requires_grad_(False)


def _shorten(config: Any, layers: int) -> None:
    # transformers 5.20 knows a tower's depth by that name alone
    deep = "num_hidden_layers" if hasattr(config, "num_hidden_layers") else "depth"
    setattr(config, deep, min(layers, getattr(config, deep)))
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    whole = getattr(config, "fullatt_block_indexes", None)
    if whole:  # a tower with windows has at least one block without
        kept = [block for block in whole if block < layers]
        config.fullatt_block_indexes = kept or [layers - 1]


# --- the sizes ------------------------------------------------------------------------------

Made = tuple[Any, Any, dict[str, Any]]  # configuration, processor, recommended settings


def _demo() -> Made:
    folder, _ = locate(DEMO)
    config, processor = AutoConfig.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    return config, processor, recommended(folder)


def _llava_onevision_7b() -> Made:
    tokenizer = _tokenizer(image_token="<image>", video_token="<video>")
    side, patch = 384, 14
    config = LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 26,
            "num_attention_heads": 16,
            "image_size": side,
            "patch_size": patch,
            "vision_use_head": False,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": 152000,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            "tie_word_embeddings": False,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    size = {"height": side, "width": side}
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(
            size=size, image_grid_pinpoints=config.image_grid_pinpoints
        ),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=(side // patch) ** 2,
        vision_feature_select_strategy="full",
        vision_aspect_ratio=config.vision_aspect_ratio,
        chat_template=_TEMPLATE.replace("PICTURE", "<image>\n"),
    )
    return config, processor, {}


def _qwen2_5_vl_7b() -> Made:
    return _qwen2_5_vl({}, {})


def _qwen2_5_vl_32b() -> Made:
    text = {"hidden_size": 5120, "intermediate_size": 27648, "num_hidden_layers": 64}
    heads = {"num_attention_heads": 40, "num_key_value_heads": 8}
    return _qwen2_5_vl({**text, **heads}, {"intermediate_size": 3456, "out_hidden_size": 5120})


def _qwen2_5_vl(text: dict[str, int], vision: dict[str, int]) -> Made:
    """The 7B sizes, with what another size changes."""
    marks = {
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
    }
    tokenizer = _tokenizer(**marks)
    numbers = {name: tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()}
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 3584,
            "patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "tokens_per_second": 2,
            **vision,
        },
        text_config={
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "rms_norm_eps": 1e-6,
            "max_window_layers": 28,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [16, 24, 24],
            },
            **text,
        },
        image_token_id=numbers["image_token"],
        video_token_id=numbers["video_token"],
        vision_start_token_id=numbers["vision_bos_token"],
        vision_end_token_id=numbers["vision_eos_token"],
    )
    size = {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 16384}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=size),
        chat_template=_TEMPLATE.replace("PICTURE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return config, processor, {}


STAND_INS: dict[str, Callable[[], Made]] = {
    "demo": _demo,
    "llava-onevision-7b": _llava_onevision_7b,
    "qwen2.5-vl-7b": _qwen2_5_vl_7b,
    "qwen2.5-vl-32b": _qwen2_5_vl_32b,
}
"""What makes configuration, processor and recommended settings of each."""


def _tokenizer(**marks: str) -> PreTrainedTokenizerFast:
    """Bytes, and the special tokens, which a processor looks up by name."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    every = [*_MARKS, *marks.values()]
    core.add_special_tokens([AddedToken(mark, normalized=False) for mark in every])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=_MARKS[2], pad_token=_MARKS[0], extra_special_tokens=marks
    )
