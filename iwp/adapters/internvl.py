"""InternVL (2.5, 3, 3.5 in transformers' own class): tiles and a thumbnail, pixel shuffle."""

from __future__ import annotations

from typing import ClassVar

from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

from iwp.adapters.stills import StillPictures
from iwp.adapters.tiles import Tiles
from iwp.types import VisualLayout


class InternVL(StillPictures):
    """Still pictures for `InternVLForConditionalGeneration`."""

    model_type: ClassVar[str] = "internvl"

    def layout(self, width: int, height: int) -> VisualLayout:
        """The thumbnail and, for pictures of more than one tile, the tiles. Sizes in pixels."""
        config, rules = self.model.config, self.processor.image_processor
        tile = rules.size["height"]
        cols, rows = get_optimal_tiled_canvas(
            (height, width), (tile, tile), rules.min_patches, rules.max_patches
        )
        if rows * cols == 1:  # the only tile is the whole picture
            rows = cols = 0
        # Pixel shuffle makes one token of a square of patches.
        cell = int(config.vision_config.patch_size[0] / config.downsample_ratio)
        return Tiles(tile, cell).layout(width, height, rows, cols)
