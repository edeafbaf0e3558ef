"""What a vision tower finds in each token, slowly: the attention that its eager kernel computes.

The kernel itself is listened to, so heads, rotary positions, masks and segments are the model's
own; only the means and the order of the tokens are written down here, in float64.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from iwp.types import Tower

Encode = Callable[[], Tensor]


@dataclass(frozen=True)
class Heard:
    """One call of the eager kernel: (B, H, N, N) attention and (B, H, N, d) keys in float64."""

    weights: Tensor
    keys: Tensor


@contextmanager
def listening(attention: nn.Module) -> Iterator[list[Heard]]:
    """Collect the calls that this attention module makes of transformers' own eager kernel."""
    source: Any = sys.modules[type(attention).__module__]
    theirs = source.eager_attention_forward
    heard: list[Heard] = []

    def kernel(module: nn.Module, query: Tensor, key: Tensor, *args: Any, **call: Any) -> Any:
        out, weights = theirs(module, query, key, *args, **call)
        if module is attention:
            heard.append(Heard(weights.double(), key.double()))
        return out, weights

    source.eager_attention_forward = kernel
    try:
        yield heard
    finally:
        source.eager_attention_forward = theirs


def tower_of(family: str, model: Any, encode: Encode, vision: dict[str, Any]) -> Tower:
    """The truth for one prompt: what `encode()` makes the tower of an eager `model` do.

    Args:
        family: the `config.model_type`.
        model: the model, with eager attention.
        encode: () -> (n, D) the model's features of one picture or clip.
        vision: what the tower reads, by the model's own argument names.
    """
    with listening(attention_of(family, model)) as heard:
        encode()
    if family.startswith("qwen"):
        patches = torch.cat([_numbers(one, leading=0, crop=0) for one in heard])
        merged = torch.stack([square.mean(dim=0) for square in patches.split(4)])
        found = merged[_inverse_order(model, encode)]
    else:
        leading = int(family in ("llava", "llava_next", "internvl"))
        (one,) = heard
        crops = [_numbers(one, leading, crop) for crop in range(len(one.weights))]
        if family in ("internvl", "idefics3", "smolvlm"):
            crops = [_squares(crop) for crop in crops]
        found = _packed(family, model, torch.stack(crops), vision)
    return Tower(found[:, 0], found[:, 1:])


def attention_of(family: str, model: Any) -> nn.Module:
    """The attention module of the layer that a method looks at."""
    inner = model.model
    found: nn.Module
    if family.startswith("qwen"):
        found = inner.visual.blocks[1 if family == "qwen2_5_vl" else -1].attn
    elif family in ("idefics3", "smolvlm"):
        found = inner.vision_model.encoder.layers[-1].self_attn
    elif family == "internvl":
        found = inner.vision_tower.encoder.layer[-1].attention
    else:
        last = -1 if family == "llava_onevision" else -2
        found = inner.vision_tower.encoder.layers[last].self_attn
    return found


def _numbers(heard: Heard, leading: int, crop: int) -> Tensor:
    """(N, 1 + d) of one crop: attention received (from the class token, if any) and keys.

    The attention is in units of 1 / N.
    """
    table = heard.weights[crop].mean(dim=0)
    saliency = (table[0] if leading else table.mean(dim=0)) * (len(table) - leading)
    return torch.cat((saliency[:, None], heard.keys[crop].mean(dim=0)), dim=1)[leading:]


def _squares(patches: Tensor) -> Tensor:
    """The mean over each 2 x 2 patches of a square crop, row by row."""
    side = round(len(patches) ** 0.5)
    grid = patches.view(side, side, -1)
    corners = [(r, c) for r in range(0, side, 2) for c in range(0, side, 2)]
    return torch.stack([grid[r : r + 2, c : c + 2].mean(dim=(0, 1)) for r, c in corners])


def _packed(family: str, model: Any, crops: Tensor, vision: dict[str, Any]) -> Tensor:
    """Crops (t, N, c) as the model packs features; zeros where it puts a token of its own."""
    inner, zeros = model.model, torch.zeros(crops.shape[-1], dtype=crops.dtype)
    found: Tensor
    if "pixel_values_videos" in vision:
        return torch.cat((inner.apply_pooling(crops).flatten(0, 1), zeros[None]))
    if family == "llava_onevision":
        found = inner.pack_image_features([crops], vision["image_sizes"], zeros)[0][0]
    elif family == "llava_next":
        sizes = vision["image_sizes"]
        found = inner.pack_image_features([crops], sizes, "default", image_newline=zeros)[0][0]
    else:
        found = crops.flatten(0, 1)
    return found


def _inverse_order(model: Any, encode: Encode) -> Tensor:
    """Which row of the tower's merger each feature is, found by comparing them."""
    rows: list[Tensor] = []

    def hear(_: nn.Module, __: Any, out: Tensor) -> None:
        rows.append(out.double())

    with model.model.visual.merger.register_forward_hook(hear):
        features = encode()[:, : model.config.text_config.hidden_size].double()
    order = torch.cdist(features, rows[0]).argmin(dim=1)
    assert sorted(order.tolist()) == list(range(len(order))), "two tokens look the same"
    return order
