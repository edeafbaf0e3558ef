"""Idefics3 and SmolVLM: tiles with text between them, then the whole picture; pixel shuffle."""

from __future__ import annotations

from typing import ClassVar

from iwp.adapters.stills import StillPictures
from iwp.adapters.tiles import Tiles
from iwp.types import VisualLayout

# The processors reduce anything longer, whatever their settings say.
_MAX_SIDE = 4096


class Idefics3(StillPictures):
    """Still pictures for `Idefics3ForConditionalGeneration`."""

    model_type: ClassVar[str] = "idefics3"

    def layout(self, width: int, height: int) -> VisualLayout:
        """The whole picture and, where the processor splits it, the tiles. Sizes in pixels."""
        config = self.model.config
        tile = self.processor.image_processor.max_image_size["longest_edge"]
        rows, cols = self._grid(width, height, tile)
        # Pixel shuffle makes one token of a square of patches.
        cell = config.vision_config.patch_size * config.scale_factor
        return Tiles(tile, cell).layout(width, height, rows, cols)

    def _grid(self, width: int, height: int, tile: int) -> tuple[int, int]:
        """Rows and columns of tiles, 0 x 0 for a picture that is not split.

        Every picture is resized so that its longer side has a set length and its other side is
        even, then stretched to whole tiles. Roundings are the processor's.
        """
        rules = self.processor.image_processor
        if not rules.do_image_splitting:
            return 0, 0
        across, down = _scaled(width, height, min(rules.size["longest_edge"], _MAX_SIDE))
        if width >= height:
            down += down % 2
        else:
            across += across % 2
        across, down = max(across, 1), max(down, 1)
        across, down = _scaled(across, down, _tiles(max(across, down), tile) * tile)
        rows, cols = _tiles(down, tile), _tiles(across, tile)
        return (0, 0) if rows == cols == 1 else (rows, cols)


class SmolVLM(Idefics3):
    """Still pictures for `SmolVLMForConditionalGeneration`."""

    model_type: ClassVar[str] = "smolvlm"


def _scaled(width: int, height: int, longer: int) -> tuple[int, int]:
    """Both sides once the longer one is `longer`; the floats are the processor's."""
    aspect = width / height
    return (longer, int(longer / aspect)) if width >= height else (int(longer * aspect), longer)


def _tiles(length: int, tile: int) -> int:
    return -(-length // tile)
