"""The embedded model's parts: tokenizer, processor, configuration and its first weights.

Everything is transformers' own class; only sizes and the start of the weights are chosen here.
"""

from __future__ import annotations

import math

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import nn
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

from iwp.scenes.crops import CROP, GRID, PATCH, PINPOINTS
from iwp.scenes.vocabulary import words

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>", "<unk>")
HEAD = 64  # wider than width / heads: multiples of 32 multiply fastest
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }} "
    "{% if m['content'] is string %}{{ m['content'] }} {% else %}"
    "{% for c in m['content'] if c['type'] == 'image' %}<image> {% endfor %}"
    "{% for c in m['content'] if c['type'] == 'video' %}<video> {% endfor %}"
    "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }} {% endfor %}"
    "{% endif %}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word, lower-cased; unknown words become "<unk>"."""
    vocabulary = dict.fromkeys([*SPECIAL, "user", "assistant", "system", *words(), "?"])
    ids = {word: i for i, word in enumerate(vocabulary)}
    core = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    core.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace("colour", "color")]
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="<unk>",
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", "<image>", "<video>"],
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaOnevisionProcessor:
    """The stock processor with this model's crop size."""
    size = {"height": CROP, "width": CROP}
    pictures = LlavaOnevisionImageProcessor(
        size=size, image_grid_pinpoints=PINPOINTS, image_mean=MEAN, image_std=STD
    )
    videos = LlavaOnevisionVideoProcessor(size=size, image_mean=MEAN, image_std=STD)
    return LlavaOnevisionProcessor(
        image_processor=pictures,
        tokenizer=tokenizer,
        video_processor=videos,
        num_image_tokens=GRID**2,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        vision_aspect_ratio="anyres_max_9",
    )


def make_config(
    tokenizer: PreTrainedTokenizerFast, width: int = 192, layers: int = 8, tower_layers: int = 4
) -> LlavaOnevisionConfig:
    """LLaVA-OneVision: a SigLIP tower, a Qwen2 decoder of 4 query and 2 key/value heads."""
    vision = SiglipVisionConfig(
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=tower_layers,
        num_attention_heads=3,
        image_size=CROP,
        patch_size=PATCH,
        vision_use_head=False,
    )
    text = Qwen2Config(
        vocab_size=math.ceil(len(tokenizer) / 16) * 16,
        hidden_size=width,
        intermediate_size=512 * width // 192,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=HEAD,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )


def _orthogonal(rows: int, cols: int) -> torch.Tensor:
    return nn.init.orthogonal_(torch.empty(rows, cols)) * math.sqrt(max(rows, cols) / cols)


@torch.no_grad()
def _match_queries_to_keys(query: nn.Linear, key: nn.Linear, head: int) -> None:
    """Start every head as a matcher of like with like ("mimetic" start, arXiv 2305.09828)."""
    keys = _orthogonal(*key.weight.shape)
    repeats = query.weight.shape[0] // key.weight.shape[0]
    heads = keys.view(-1, 1, head, keys.shape[1]).expand(-1, repeats, -1, -1)
    key.weight.copy_(keys + torch.randn_like(keys) * 0.01)
    query.weight.copy_(heads.reshape(query.weight.shape) + torch.randn_like(query.weight) * 0.02)


@torch.no_grad()
def make_model(
    config: LlavaOnevisionConfig, seed: int = 0
) -> LlavaOnevisionForConditionalGeneration:
    """Random weights, started so that attention matches like with like and copies what it finds."""
    torch.manual_seed(seed)
    model = LlavaOnevisionForConditionalGeneration(config)
    tower, projector, decoder = (
        model.model.vision_tower,
        model.model.multi_modal_projector,
        model.model.language_model,
    )
    # A 2-D sine start of the (learned) positions: attention becomes local at once.
    positions = tower.embeddings.position_embedding.weight
    side, quarter = math.isqrt(positions.shape[0]), positions.shape[1] // 4
    rates = 1.5 / (30 ** (torch.arange(quarter) / quarter))
    y, x = torch.meshgrid(torch.arange(side).float(), torch.arange(side).float(), indexing="ij")
    waves = [axis.flatten()[:, None] * rates for axis in (y, x)]
    positions.copy_(torch.cat([f for w in waves for f in (w.sin(), w.cos())], 1) * 0.7)
    patch = tower.embeddings.patch_embedding.weight
    patch.normal_(std=patch[0].numel() ** -0.5)
    for layer in tower.encoder.layers:
        _match_queries_to_keys(
            layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.head_dim
        )
    decoder.embed_tokens.weight.normal_(std=0.3)
    decoder.norm.weight.fill_(0.25)
    model.model.image_newline.normal_(std=0.3)
    projector.linear_1.weight.copy_(_orthogonal(*projector.linear_1.weight.shape))
    projector.linear_2.weight.copy_(_orthogonal(*projector.linear_2.weight.shape) * 0.3)
    for layer in decoder.layers:
        attention = layer.self_attn
        _match_queries_to_keys(attention.q_proj, attention.k_proj, attention.head_dim)
        values = _orthogonal(*attention.v_proj.weight.shape)
        repeats = attention.q_proj.weight.shape[0] // values.shape[0]
        heads = values.view(-1, 1, attention.head_dim, values.shape[1]).expand(-1, repeats, -1, -1)
        copy_back = heads.reshape(-1, values.shape[1]).T
        attention.v_proj.weight.copy_(values)
        attention.o_proj.weight.copy_(
            copy_back * (0.1 / repeats) + torch.randn_like(copy_back) * 0.005
        )
        layer.mlp.down_proj.weight.mul_(0.5)
    return model
