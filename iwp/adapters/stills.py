"""What the families have in common that read one still picture through transformers' own code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from iwp.adapters.base import STILLS_ONLY, Adapter, Prepared
from iwp.adapters.prompt import prompt_ids
from iwp.errors import InputError, ModelError
from iwp.types import Media, VisualLayout

# What a processor makes besides the vision tower's input.
_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")


class StillPictures(Adapter):
    """Prompt and encoding by the model's own processor and `get_image_features`."""

    @property
    def decoder_layers(self) -> nn.ModuleList:
        """The text decoder's layers."""
        layers: nn.ModuleList = self.model.get_decoder().layers
        return layers

    def prepare(self, media: Media, question: str) -> Prepared:
        """See `Adapter.prepare`. `vision` holds what the processor makes of the picture.

        Raises:
            InputError: a video was given.
            ModelError: the processor cuts pictures up in a way that the layout does not know.
        """
        if media.kind != "image":
            raise InputError(STILLS_ONLY)
        layout = self.layout(*media.size)
        with self._tokenizing:
            shown = self.processor(
                text=self.processor.image_token,
                images=list(media.frames),
                add_special_tokens=False,
                return_tensors="pt",
            )
            prompt = prompt_ids(self.processor, [{"type": "image"}], question)
        return self._assembled(prompt, self.model.config.image_token_id, shown, layout)

    def _assembled(
        self, prompt: list[int], token: int, shown: Mapping[str, Any], layout: VisualLayout
    ) -> Prepared:
        """Put what the processor made of picture or video in the place of the prompt's `token`."""
        place = prompt.index(token)
        # With the tokens that stand around the picture and between its tiles, where there are any.
        picture = shown["input_ids"][0].tolist()
        input_ids = torch.tensor([[*prompt[:place], *picture, *prompt[place + 1 :]]])
        visual = (input_ids[0] == token).nonzero()[:, 0]
        if len(visual) != layout.n:
            raise ModelError(
                f"This model makes {len(visual)} tokens of what it is shown where IWP expects "
                f"{layout.n}: its processor has settings that are not supported."
            )
        vision = {name: value for name, value in shown.items() if name not in _TEXT}
        return Prepared(input_ids, visual, layout, vision)

    @torch.no_grad()
    def encode(self, prepared: Prepared) -> Tensor:
        """Tower, projector and packing by the model's own `get_image_features`: (n, D)."""
        inputs = dict(prepared.vision)
        for name in ("pixel_values", "pixel_attention_mask"):
            if name in inputs:
                inputs[name] = inputs[name].to(self.device)
        # The sizes are only read by host code: on the device each would cost a synchronisation.
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        made = self.model.model.get_image_features(**inputs, return_dict=True)
        return torch.cat([part.flatten(0, -2) for part in made.pooler_output])
