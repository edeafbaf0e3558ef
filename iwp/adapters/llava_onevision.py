"""LLaVA-OneVision: SigLIP crops in AnyRes packing or pooled frames, and a Qwen2 decoder."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar

import torch
from torch import Tensor

from iwp.adapters.anyres import AnyRes
from iwp.adapters.base import Prepared
from iwp.adapters.clips import Clips
from iwp.adapters.geometry import Axis, blocks
from iwp.errors import ModelError
from iwp.types import Media, Sampling, TokenGrid, VisualLayout

_FRAMES = 32  # of a video, as the authors show
_CONTEXT_SHARE = 5  # a video takes at most one part in so many of what the decoder can read


class LlavaOnevision(Clips):
    """Still pictures and videos for `LlavaOnevisionForConditionalGeneration`."""

    model_type: ClassVar[str] = "llava_onevision"

    def layout(self, width: int, height: int) -> VisualLayout:
        """The base crop, then the high-resolution grid. Sizes in pixels.

        Raises:
            ModelError: the model does not say how many crops a picture has at most.
        """
        config = self.model.config
        most = config.vision_aspect_ratio.removeprefix("anyres_max_")
        if not most.isdecimal():
            raise ModelError(
                f"This model packs pictures as {config.vision_aspect_ratio!r}, which is not "
                'supported: it has to be one like "anyres_max_9".'
            )
        anyres = AnyRes(
            crop=config.vision_config.image_size,
            patch=config.vision_config.patch_size,
            pinpoints=config.image_grid_pinpoints,
            max_crops=int(most),
        )
        return anyres.layout(width, height)

    def _sampling(self) -> Sampling:
        """32 frames; fewer where the decoder is small: 16 of the embedded model."""
        room = self.model.config.get_text_config().max_position_embeddings // _CONTEXT_SHARE
        return Sampling(max(1, min(_FRAMES, room // self._pooled_side**2)))

    @property
    def _pooled_side(self) -> int:
        """Tokens along a side of a frame: half as many as patches, rounded up."""
        vision = self.model.config.vision_config
        patches: int = vision.image_size // vision.patch_size
        return -(-patches // 2)

    def _clip_layout(self, media: Media, shown: Mapping[str, Any]) -> VisualLayout:
        """A grid for every frame, then one token that ends the clip and belongs to no grid.

        A frame is squashed into one crop, and its patches are pooled.
        """
        vision = self.model.config.vision_config
        crop, patch = vision.image_size, vision.patch_size
        if tuple(shown["pixel_values_videos"].shape[-2:]) != (crop, crop):
            raise ModelError(
                "This model's processor does not bring frames to the size that its vision tower "
                "reads: it has settings that are not supported."
            )
        patches = crop // patch
        side = self._pooled_side
        width, height = media.size
        # The interpolation spreads its cells evenly over all whole patches.
        cells, step = range(side), Fraction(patches * patch, side)
        pieces = blocks(
            Axis(height, crop).spans(cells, 0, step), Axis(width, crop).spans(cells, 0, step)
        )
        grids = tuple(
            TokenGrid(f"frame{i}", f"Frame {i + 1}", side, side, i * side**2, pieces, frame=i)
            for i in range(len(media.frames))
        )
        return VisualLayout(len(grids) * side**2 + 1, width, height, grids)

    @torch.no_grad()
    def encode(self, prepared: Prepared) -> Tensor:
        """See `Adapter.encode`; the token that ends a clip is the learnt newline of pictures."""
        features = super().encode(prepared)
        if len(features) == prepared.layout.n:
            return features
        # transformers 5.17 leaves this token of a clip to the model's forward.
        return torch.cat([features, self.model.model.image_newline[None].to(features)])
