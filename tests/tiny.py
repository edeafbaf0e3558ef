"""A tiny random LLaVA-OneVision: real classes, real processor files, no download.

One tile is 32 x 32 pixels of 4 x 4 patches; grids go up to 4 x 4 tiles, so anyres_max_9's
reduction happens too. The tokenizer is byte level: any text is encodable. Only letters, digits
and the space can win the argmax, so that a random model never emits a special token.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)

TILE = 32
PATCH = 8
LAYERS = 6
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'video' %}{{ '<video>\\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def pinpoints(tile: int = TILE, most: int = 4) -> list[list[int]]:
    """All grids from 1 x 1 to most x most tiles, as (height, width) in pixels."""
    return [[tile * r, tile * c] for r in range(1, most + 1) for c in range(1, most + 1)]


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges: 256 bytes, then the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIALS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
    )


def processor(tile: int = TILE, patch: int = PATCH, most: int = 4) -> LlavaOnevisionProcessor:
    """The real processor class around tiny parts."""
    size = {"height": tile, "width": tile}
    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(
            size=size, image_grid_pinpoints=pinpoints(tile, most)
        ),
        tokenizer=tokenizer(),
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=(tile // patch) ** 2,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        vision_aspect_ratio="anyres_max_9",
    )


def config(
    tile: int = TILE, patch: int = PATCH, most: int = 4, layers: int = LAYERS
) -> LlavaOnevisionConfig:
    """Four query heads on two key/value heads, biases in q, k and v as in Qwen2."""
    vocabulary = tokenizer()
    return LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=tile,
            patch_size=patch,
            vision_use_head=False,
        ).to_dict(),
        text_config=Qwen2Config(
            vocab_size=len(vocabulary),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            bos_token_id=None,
            eos_token_id=vocabulary.eos_token_id,
            pad_token_id=vocabulary.pad_token_id,
            tie_word_embeddings=False,
        ).to_dict(),
        image_token_index=vocabulary.convert_tokens_to_ids("<image>"),
        video_token_index=vocabulary.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints(tile, most),
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )


def model(
    attention: str = "sdpa",
    seed: int = 0,
    tile: int = TILE,
    patch: int = PATCH,
    most: int = 4,
    layers: int = LAYERS,
) -> LlavaOnevisionForConditionalGeneration:
    """A random model whose attention is far from uniform, in evaluation mode and float32."""
    generator = torch.Generator().manual_seed(seed)
    network = LlavaOnevisionForConditionalGeneration._from_config(
        config(tile, patch, most, layers), attn_implementation=attention
    )
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "embed_tokens" in name or "image_newline" in name:
                weight.normal_(0.0, 1.0, generator=generator)
            elif weight.ndim >= 2:
                weight.normal_(0.0, 1.3 / weight[0].numel() ** 0.5, generator=generator)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.2, generator=generator)
        network.lm_head.weight[_silent_ids()] = 0.0
    eos = network.config.text_config.eos_token_id
    network.generation_config.eos_token_id = eos
    network.generation_config.pad_token_id = network.config.text_config.pad_token_id
    return network.eval().requires_grad_(False)


def _silent_ids() -> list[int]:
    vocabulary = tokenizer()
    spoken = set(vocabulary.convert_tokens_to_ids([*string.ascii_letters, *string.digits, "Ġ"]))
    return [i for i in range(len(vocabulary)) if i not in spoken]


def save(folder: Path) -> Path:
    """Write model and processor so that the Auto classes load them from `folder`."""
    model().save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder


def picture(width: int = 70, height: int = 50, seed: int = 0) -> Image.Image:
    """A noisy RGB picture."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def inputs(
    question: str = "What is it?", image: Image.Image | None = None
) -> dict[str, torch.Tensor]:
    """A processed prompt with one picture, ready for `model(**inputs)`."""
    content = [{"type": "image"}, {"type": "text", "text": question}]
    ready = processor()
    text = ready.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    return dict(ready(text=text, images=image or picture(), return_tensors="pt"))
