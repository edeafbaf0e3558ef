"""LLaVA-OneVision: SigLIP crops of a picture in AnyRes packing, and a Qwen2 decoder."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from iwp.adapters.anyres import AnyRes
from iwp.adapters.base import Adapter, Prepared
from iwp.types import Media, VisualLayout


class LlavaOnevision(Adapter):
    """Still pictures for `LlavaOnevisionForConditionalGeneration`."""

    model_type: ClassVar[str] = "llava_onevision"

    @property
    def decoder_layers(self) -> nn.ModuleList:
        """The Qwen2 decoder's layers."""
        layers: nn.ModuleList = self.model.model.language_model.layers
        return layers

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

    def prepare(self, media: Media, question: str) -> Prepared:
        """See `Adapter.prepare`. `vision` holds pixel_values (1, crops, 3, H, W) and image_sizes.

        Raises:
            InputError: a video was given.
        """
        layout = self.layout(*media.size)
        input_ids, visual = self._prompt(media, question, layout.n)
        pixels = self.processor.image_processor(list(media.frames), return_tensors="pt")
        vision = {name: pixels[name] for name in ("pixel_values", "image_sizes")}
        return Prepared(input_ids, visual, layout, vision)

    @torch.no_grad()
    def encode(self, prepared: Prepared) -> Tensor:
        """Tower, projector and packing by the model's own `get_image_features`: (n, D)."""
        pixels = prepared.vision["pixel_values"].to(self.device, self.model.dtype)
        # The sizes are only read by host code: on the device each would cost a synchronisation.
        made = self.model.model.get_image_features(
            pixels, prepared.vision["image_sizes"], return_dict=True
        )
        return torch.cat(tuple(made.pooler_output))
