"""Qwen3-VL: Qwen2-VL with DeepStack, feature maps for the first decoder layers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from iwp.adapters.base import Inputs, Prepared
from iwp.adapters.qwen2_vl import Qwen2VL
from iwp.types import Tower


class Qwen3VL(Qwen2VL):
    """Still pictures for `Qwen3VLForConditionalGeneration`.

    Besides the word embeddings' places, layers of the tower feed the decoder: map i is added to
    the visual rows after decoder layer i. All maps of a token travel side by side.
    """

    model_type: ClassVar[str] = "qwen3_vl"
    reads_clips: ClassVar[bool] = False  # it writes the time of every frame into the prompt

    @torch.no_grad()
    def encode(self, prepared: Prepared) -> Tensor:
        """Tower and mergers: (n, (1 + k) * D), what `embed` takes and then the k DeepStack maps."""
        made = self._encoded(prepared)
        # From transformers 5.18 on a map is split into one tensor for each picture.
        deep = [m if isinstance(m, Tensor) else torch.cat(m) for m in made.deepstack_features]
        return torch.cat([torch.cat(tuple(made.pooler_output)), *deep], dim=1)

    def inputs(self, prepared: Prepared, features: Tensor, tower: Tower | None = None) -> Inputs:
        """See `Adapter.inputs`; the DeepStack maps go to the decoder beside the embeddings."""
        maps = features.shape[1] // self.model.config.text_config.hidden_size
        first, *deep = features.to(self.device).chunk(maps, dim=1)
        inputs = super().inputs(prepared, first, tower)
        places = torch.zeros(prepared.input_ids.shape, dtype=torch.bool)
        places[0, prepared.visual] = True
        inputs["extra"] = {
            "visual_pos_masks": places.to(self.device),
            "deepstack_visual_embeds": deep,
        }
        return inputs
