"""Qwen2-VL: a picture stretched to whole tokens, and a Qwen2 decoder with M-RoPE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from iwp.adapters.base import Prepared
from iwp.adapters.clips import Clips
from iwp.errors import InputError
from iwp.types import Block, Media, Sampling, TokenGrid, VisualLayout

_PACE = 2.0  # frames a second, where the processor does not say
_MOST_FRAMES = 64  # of a video; the authors go up to 768, which fill a GPU with prefill


class Qwen2VL(Clips):
    """Pictures and videos for `Qwen2VLForConditionalGeneration` and the families that follow it.

    The processor stretches a picture so that both sides are whole visual tokens (28 pixels for
    patches of 14 merged 2 x 2), with about the same aspect ratio: nothing is cropped or padded.
    Of a video every frame is stretched like that, and two frames at a time make one layer of
    tokens; a last frame without a partner is shown twice.
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
        """See `Adapter.prepare`.

        `vision` holds pixel_values (patches, values) and image_grid_thw, of a video
        pixel_values_videos and video_grid_thw.

        Raises:
            InputError: a picture or video is too long.
        """
        self.layout(*media.size)  # refuses what is too long, of a video too
        prepared = super().prepare(media, question)
        vision = dict(prepared.vision)
        # Seconds between two layers of a video, which only Qwen2.5-VL's positions know.
        pace = {name: vision.pop(name) for name in ("second_per_grid_ts",) if name in vision}
        kinds = torch.zeros_like(prepared.input_ids)
        # Text is 0, pictures are 1, videos are 2.
        kinds[0, prepared.visual] = 2 if "video_grid_thw" in vision else 1
        grids = {name: value for name, value in vision.items() if name.endswith("_grid_thw")}
        positions, _ = self.model.model.get_rope_index(
            prepared.input_ids, mm_token_type_ids=kinds, **grids, **pace
        )
        return replace(prepared, vision=vision, positions=positions)

    def _sampling(self) -> Sampling:
        """2 frames a second unless the processor says otherwise, up to 64."""
        rules = self.processor.video_processor
        return Sampling(min(rules.max_frames, _MOST_FRAMES), rules.fps or _PACE, rules.min_frames)

    def _clip_layout(self, media: Media, shown: Mapping[str, Any]) -> VisualLayout:
        """A grid for every layer of frames, placed on its first frame."""
        width, height = media.size
        rules = self.processor.video_processor
        layers, tall, wide = shown["video_grid_thw"][0].tolist()
        rows, cols = tall // rules.merge_size, wide // rules.merge_size
        whole = Block(0, rows, 0, cols, 0.0, 0.0, float(width), float(height))
        deep = rules.temporal_patch_size
        grids = []
        for i in range(layers):
            first, last = i * deep + 1, min((i + 1) * deep, len(media.frames))
            label = f"Frame {first}" if first == last else f"Frames {first} to {last}"
            grids.append(
                TokenGrid(
                    f"frame{first - 1}",
                    label,
                    rows,
                    cols,
                    i * rows * cols,
                    (whole,),
                    False,
                    first - 1,
                )
            )
        return VisualLayout(layers * rows * cols, width, height, tuple(grids))

    @torch.no_grad()
    def encode(self, prepared: Prepared) -> Tensor:
        """Tower and merger by the model's own feature methods: (n, D), in prompt order."""
        return torch.cat(tuple(self._encoded(prepared).pooler_output))

    def _encoded(self, prepared: Prepared) -> Any:
        vision = {name: tensor.to(self.device) for name, tensor in prepared.vision.items()}
        if "video_grid_thw" in vision:
            return self.model.model.get_video_features(**vision, return_dict=True)
        return self.model.model.get_image_features(**vision, return_dict=True)
