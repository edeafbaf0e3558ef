"""What the families have in common that also read the frames of a video."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from iwp.adapters.base import Prepared
from iwp.adapters.prompt import prompt_ids
from iwp.adapters.stills import StillPictures
from iwp.types import Media, Sampling, VisualLayout


class Clips(StillPictures):
    """Still pictures and videos, by the model's own processors and feature methods.

    Exactly the frames that are given are shown: the processor's own choice of frames is off.
    """

    reads_clips: ClassVar[bool] = True

    @property
    def sampling(self) -> Sampling:
        """See `Adapter.sampling`."""
        return self._sampling() if self.reads_clips else super().sampling

    @abstractmethod
    def _sampling(self) -> Sampling:
        """How many frames of a video the family's authors show."""

    @abstractmethod
    def _clip_layout(self, media: Media, shown: Mapping[str, Any]) -> VisualLayout:
        """Where the visual tokens lie on the frames; `shown` is what the processor made of them."""

    def prepare(self, media: Media, question: str) -> Prepared:
        """See `Adapter.prepare`.

        Raises:
            InputError: a video was given to a family that does not read any.
            ModelError: the processor cuts frames up in a way that the layout does not know.
        """
        if media.kind != "video" or not self.reads_clips:
            return super().prepare(media, question)
        with self._tokenizing:
            shown = self.processor(
                text=self.processor.video_token,
                videos=[np.stack([np.asarray(frame) for frame in media.frames])],
                videos_kwargs={
                    "do_sample_frames": False,
                    "input_data_format": "channels_last",
                    "video_metadata": [_metadata(media)],
                },
                add_special_tokens=False,
                return_tensors="pt",
            )
            prompt = prompt_ids(self.processor, [{"type": "video"}], question)
        shown.pop("video_metadata", None)  # the only thing in it that is no tensor
        layout = self._clip_layout(media, shown)
        return self._assembled(prompt, self.model.config.video_token_id, shown, layout)

    @torch.no_grad()
    def encode(self, prepared: Prepared) -> Tensor:
        """Tower, projector and pooling by the model's own `get_video_features`: (n, D)."""
        if "pixel_values_videos" not in prepared.vision:
            return super().encode(prepared)
        pixels = prepared.vision["pixel_values_videos"].to(self.device, self.model.dtype)
        made = self.model.model.get_video_features(pixels, return_dict=True)
        return torch.cat([part.flatten(0, -2) for part in made.pooler_output])


def _metadata(media: Media) -> dict[str, Any]:
    """What a video processor wants to know; the frames count as evenly spread over their time."""
    n = len(media.frames)
    span = media.times[-1] - media.times[0]
    # Frames without times of their own count as one a second.
    pace = (n - 1) / span if span > 0 else 1.0
    return {
        "total_num_frames": n,
        "fps": pace,
        "duration": n / pace,
        "frames_indices": list(range(n)),
    }
