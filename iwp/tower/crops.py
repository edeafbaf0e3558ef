"""Towers that read square crops one by one: CLIP, SigLIP, InternViT; how crops are packed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import wraps
from math import isqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from iwp.errors import ModelError
from iwp.tower.received import found, projected, received
from iwp.tower.watch import Attended, Watch, stood_in


class CropWatch(Watch):
    """LLaVA and InternVL: the layer whose output becomes the features, crop after crop.

    Where the tower has a class token, what counts is that token's row of the attention. Where
    several patches become one token, it has their mean.
    """

    def __init__(self, model: Any) -> None:
        """See `Watch`."""
        inner = model.model
        layer = _feature_layer(self._tower(inner), model.config)
        attention = layer.self_attn if hasattr(layer, "self_attn") else layer.attention
        super().__init__(model, attention, self._projector(inner))
        self._inner = inner

    def _tower(self, inner: Any) -> Any:
        return inner.vision_tower

    def _projector(self, inner: Any) -> Any:
        return inner.multi_modal_projector

    def _read(self, seen: Attended, output: Tensor, call: dict[str, Any]) -> Tensor:  # noqa: ARG002
        tokens = output.shape[1]
        leading = _leading(seen.hidden.shape[1], tokens)
        mask = seen.call.get("attention_mask")
        crops = []
        for number, hidden in enumerate(seen.hidden):
            real = _real(None if mask is None else mask[number], hidden)
            queries, keys = projected(self._attention, hidden[real])
            share = received(queries[:, :leading] if leading else queries, keys)
            numbers = found(share, keys, leading)
            whole = numbers.new_zeros(len(hidden), numbers.shape[1])
            crops.append(whole.index_copy_(0, real, numbers)[leading:])
        return _joined(torch.stack(crops), tokens)


class IdeficsWatch(CropWatch):
    """Idefics3 and SmolVLM, whose modules have names of their own."""

    def _tower(self, inner: Any) -> Any:
        return inner.vision_model

    def _projector(self, inner: Any) -> Any:
        return inner.connector


class PackedWatch(CropWatch):
    """LLaVA-NeXT, which packs crops by its own `pack_image_features`.

    What is found goes through the same method, called as for the features: unpadding and
    interpolation are the model's. Row ends are marked by zeros.
    """

    def _watch_more(self, stack: ExitStack) -> None:
        theirs = self._inner.pack_image_features

        @wraps(theirs)
        def pack(features: Sequence[Tensor], *args: Any, **call: Any) -> Any:
            crops = self._found
            if crops is not None and self._mine():
                with self._timed(crops):
                    parts = torch.split(crops, [len(part) for part in features])
                    call_here = {**call, "image_newline": crops.new_zeros(crops.shape[-1])}
                    self._found = torch.cat(theirs(parts, *args, **call_here)[0])
            return theirs(features, *args, **call)

        stack.enter_context(stood_in(self._inner, "pack_image_features", pack))


class ClipWatch(PackedWatch):
    """LLaVA-OneVision, which also reads videos: frames are pooled, one token ends each clip."""

    def _watch_more(self, stack: ExitStack) -> None:
        super()._watch_more(stack)
        theirs = self._inner.get_video_features

        @wraps(theirs)
        def get_video_features(*args: Any, **call: Any) -> Any:
            made = theirs(*args, **call)
            frames = self._found
            if frames is not None and self._mine():
                with self._timed(frames):
                    clips = len(args[0] if args else call["pixel_values_videos"])
                    pooled = self._inner.apply_pooling(frames).flatten(0, 1)
                    self._found = functional.pad(pooled.unflatten(0, (clips, -1)), (0, 0, 0, 1))
            return made

        stack.enter_context(stood_in(self._inner, "get_video_features", get_video_features))


def _feature_layer(tower: Any, config: Any) -> Any:
    """The layer of the tower whose output the features are made of, the deepest of several."""
    encoder = tower.encoder
    layers = encoder.layers if hasattr(encoder, "layers") else encoder.layer
    asked = getattr(config, "vision_feature_layer", -1)
    # Hidden state 0 is what enters the first layer, and negative numbers count from the end.
    states = len(layers) + 1
    deepest = max(number % states for number in ([asked] if isinstance(asked, int) else asked))
    if deepest == 0:
        raise ModelError(
            "The features of this model come from before its tower's first attention; choose a "
            "method that does without."
        )
    return layers[deepest - 1]


def _leading(patches: int, tokens: int) -> int:
    """1 where a class token stands before the patches of a crop, else 0.

    A token is made of a square number of patches, which only one of the two leaves.
    """
    for leading in (0, 1):
        share, rest = divmod(patches - leading, tokens)
        if not rest and share == isqrt(share) ** 2:
            return leading
    raise ModelError(f"IWP does not know how {patches} patches become {tokens} visual tokens.")


def _joined(crops: Tensor, tokens: int) -> Tensor:
    """(t, N, c) patches of square crops -> (t, tokens, c), the mean over each square of patches."""
    patches = crops.shape[1]
    if patches == tokens:
        return crops
    side, across = isqrt(tokens), isqrt(patches // tokens)
    squares = crops.view(len(crops), side, across, side, across, -1)
    return squares.mean(dim=(2, 4)).flatten(1, 2)


def _real(mask: Tensor | None, hidden: Tensor) -> Tensor:
    """Numbers of the patches (N, D) of a crop that are no padding.

    The mask is the kernel's own: bool, 0 and 1, or what is added to the attention scores. The first
    patch is never padding and sees all others that are none.
    """
    if mask is None:
        return torch.arange(len(hidden), device=hidden.device)
    row = mask.reshape(-1, len(hidden))[0]
    return (row == 0 if row.is_floating_point() else row.bool()).nonzero().flatten()
