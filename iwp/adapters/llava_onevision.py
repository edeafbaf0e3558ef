"""LLaVA-OneVision: SigLIP crops of a picture in AnyRes packing, and a Qwen2 decoder."""

from __future__ import annotations

from typing import ClassVar

from iwp.adapters.anyres import AnyRes
from iwp.adapters.stills import StillPictures
from iwp.types import VisualLayout


class LlavaOnevision(StillPictures):
    """Still pictures for `LlavaOnevisionForConditionalGeneration`."""

    model_type: ClassVar[str] = "llava_onevision"

    def layout(self, width: int, height: int) -> VisualLayout:
        """The base crop, then the high-resolution grid. Sizes in pixels."""
        config = self.model.config
        anyres = AnyRes(
            crop=config.vision_config.image_size,
            patch=config.vision_config.patch_size,
            pinpoints=config.image_grid_pinpoints,
            max_crops=int(config.vision_aspect_ratio.removeprefix("anyres_max_")),
        )
        return anyres.layout(width, height)
