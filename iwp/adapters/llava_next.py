"""LLaVA-NeXT: CLIP crops of a picture in AnyRes packing, none of them reduced."""

from __future__ import annotations

from typing import ClassVar

from iwp.adapters.anyres import AnyRes
from iwp.adapters.stills import StillPictures
from iwp.types import VisualLayout


class LlavaNext(StillPictures):
    """Still pictures for `LlavaNextForConditionalGeneration`."""

    model_type: ClassVar[str] = "llava_next"

    def layout(self, width: int, height: int) -> VisualLayout:
        """The base crop, then the high-resolution grid. Sizes in pixels."""
        config = self.model.config
        anyres = AnyRes(
            crop=config.vision_config.image_size,
            patch=config.vision_config.patch_size,
            pinpoints=config.image_grid_pinpoints,
        )
        return anyres.layout(width, height)
