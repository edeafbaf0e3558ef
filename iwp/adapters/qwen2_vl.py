"""Qwen2-VL: a picture stretched to whole tokens, and a Qwen2 decoder with M-RoPE."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from iwp.adapters.base import Prepared
from iwp.adapters.stills import StillPictures
from iwp.errors import InputError
from iwp.types import Block, Media, TokenGrid, VisualLayout


class Qwen2VL(StillPictures):
    """Still pictures for `Qwen2VLForConditionalGeneration` and the families that follow it.

    The processor stretches a picture so that both sides are whole visual tokens (28 pixels for
    patches of 14 merged 2 x 2), with about the same aspect ratio: nothing is cropped or padded.
    """

    model_type: ClassVar[str] = "qwen2_vl"

    def layout(self, width: int, height: int) -> VisualLayout:
        """One grid, which covers the picture evenly. Sizes in pixels.

        Raises:
            InputError: the picture is longer than the processor accepts.
        """
        pictures = self.processor.image_processor
        token = pictures.patch_size * pictures.merge_size
        low, high = pictures.size["shortest_edge"], pictures.size["longest_edge"]
        try:
            tall, wide = smart_resize(height, width, token, min_pixels=low, max_pixels=high)
        except ValueError:
            raise InputError(
                f"The picture is {width} x {height} pixels, too long for this model; cut out the "
                "part you ask about."
            ) from None
        rows, cols = tall // token, wide // token
        whole = Block(0, rows, 0, cols, 0.0, 0.0, float(width), float(height))
        grid = TokenGrid("base", "Whole picture", rows, cols, 0, (whole,))
        return VisualLayout(rows * cols, width, height, (grid,))

    def prepare(self, media: Media, question: str) -> Prepared:
        """See `Adapter.prepare`. `vision` holds pixel_values (patches, values) and image_grid_thw.

        Raises:
            InputError: a video was given, or a picture that is too long.
        """
        prepared = super().prepare(media, question)
        kinds = torch.zeros_like(prepared.input_ids)
        kinds[0, prepared.visual] = 1  # text is 0, pictures are 1
        positions, _ = self.model.model.get_rope_index(
            prepared.input_ids,
            mm_token_type_ids=kinds,
            image_grid_thw=prepared.vision["image_grid_thw"],
        )
        return replace(prepared, positions=positions)

    @torch.no_grad()
    def encode(self, prepared: Prepared) -> Tensor:
        """Tower and merger by the model's own `get_image_features`: (n, D), in prompt order."""
        return torch.cat(tuple(self._encoded(prepared).pooler_output))

    def _encoded(self, prepared: Prepared) -> Any:
        vision = {name: tensor.to(self.device) for name, tensor in prepared.vision.items()}
        return self.model.model.get_image_features(**vision, return_dict=True)
