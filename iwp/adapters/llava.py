"""LLaVA-1.5: the middle of the picture through a CLIP tower, and a Llama decoder."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, ClassVar

from iwp.adapters.geometry import Axis, blocks
from iwp.adapters.stills import StillPictures
from iwp.errors import ModelError
from iwp.types import TokenGrid, VisualLayout


class Llava(StillPictures):
    """Still pictures for `LlavaForConditionalGeneration` with a tower of one fixed input size."""

    model_type: ClassVar[str] = "llava"

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor)
        if model.config.vision_config.model_type == "pixtral":
            raise ModelError("LLaVA models with a Pixtral tower are not supported.")

    def layout(self, width: int, height: int) -> VisualLayout:
        """One grid. What a centre crop cuts off has no token. Sizes in pixels."""
        tower = self.model.config.vision_config
        side, step = tower.image_size // tower.patch_size, Fraction(tower.patch_size)
        down, across = self._axes(width, height, tower.image_size)
        cells = range(side)
        placed = blocks(down.spans(cells, 0, step), across.spans(cells, 0, step))
        grid = TokenGrid("base", "Whole picture", side, side, 0, placed)
        return VisualLayout(side**2, width, height, (grid,))

    def _axes(self, width: int, height: int, canvas: int) -> tuple[Axis, Axis]:
        """How the image processor resizes, pads and crops: down, across."""
        rules = self.processor.image_processor
        short = rules.size.get("shortest_edge")
        long = max(width, height)
        axes = []
        for length in (height, width):
            if getattr(rules, "do_pad", False):  # to a square around the picture's middle
                scale = Fraction(canvas, long)
                axes.append(Axis(length, length * scale, (long - length) // 2 * scale))
                continue
            # resized as the processor does it, in whole pixels
            shown = int(short * length / min(width, height)) if short else canvas
            surplus = shown - canvas if rules.do_center_crop else 0
            axes.append(Axis(length, shown, -int(surplus / 2)))  # too small a picture is padded
        return axes[0], axes[1]
