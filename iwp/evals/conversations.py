"""What lmms-eval asks: texts with any number of pictures and videos, as batches for a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from transformers.video_utils import load_video

from iwp.errors import InputError

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Clip:
    """Frames of a video, (T, H, W, 3) uint8, and what transformers knows of their times."""

    frames: np.ndarray
    metadata: Any


@dataclass(frozen=True)
class Conversation:
    """One prompt.

    Attributes:
        text: the filled chat template, with one placeholder for every picture and video.
        pictures: the pictures in the order of their placeholders.
        clips: the videos in the order of their placeholders.
    """

    text: str
    pictures: tuple[Image.Image, ...] = ()
    clips: tuple[Clip, ...] = ()

    @property
    def kind(self) -> tuple[bool, tuple[int, ...]]:
        """Conversations of one kind fit into a batch: with pictures or without, as many frames."""
        return bool(self.pictures), tuple(len(clip.frames) for clip in self.clips)


def read(processor: Any, messages: Messages, frames: int) -> Conversation:
    """Fill the model's own chat template, and open the pictures and videos.

    Args:
        processor: the model's.
        messages: turns as lmms-eval gives them: `role` and a list of `content`, each with a `type`
            (text, image or video) and its `text` or `url`.
        frames: the most frames to show of a video, evenly spread over it.

    Raises:
        InputError: there is something that is neither text, picture nor video, or a video cannot
            be read.
    """
    turns = []
    pictures: list[Image.Image] = []
    clips: list[Clip] = []
    for message in messages:
        content: list[dict[str, str]] = []
        for part in _parts(message["content"]):
            kind = part["type"]
            if kind == "text":
                content.append({"type": "text", "text": _without_places(processor, part["text"])})
                continue
            if kind == "image":
                pictures.append(_picture(part["url"]))
            elif kind == "video":
                clips.append(_clip(part, frames))
            else:
                raise InputError(f"The task shows {kind}; IWP reads text, pictures and videos.")
            content.append({"type": kind})
        turns.append({"role": message["role"], "content": content})
    text = processor.apply_chat_template(turns, add_generation_prompt=True)
    return Conversation(text, tuple(pictures), tuple(clips))


def batch(
    processor: Any, conversations: Sequence[Conversation], pictures: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of `generate()` for conversations of one kind, padded on the left.

    Args:
        processor: the model's.
        conversations: one for every row.
        pictures: what else the processor is told about pictures, such as `limits`.
    """
    texts = [one.text for one in conversations]
    begin = processor.tokenizer.bos_token
    options: dict[str, Any] = {
        "padding": True,
        "padding_side": "left",
        "return_tensors": "pt",
        # A template that writes the beginning itself must not get it twice.
        "add_special_tokens": begin is None or not texts[0].startswith(begin),
    }
    if conversations[0].pictures:
        # By row: LLaVA-OneVision shows a lone picture in more detail than one of several.
        options["images"] = [list(one.pictures) for one in conversations]
        options["images_kwargs"] = dict(pictures)
    clips = [clip for one in conversations for clip in one.clips]
    if clips:
        options["videos"] = [clip.frames for clip in clips]
        options["videos_kwargs"] = {
            "do_sample_frames": False,
            "input_data_format": "channels_last",
            "video_metadata": [clip.metadata for clip in clips],
        }
    made = dict(processor(text=texts, **options))
    made.pop("video_metadata", None)
    return made


def limits(processor: Any, least: int | None, most: int | None) -> dict[str, Any]:
    """How large pictures are shown, in pixels of the whole picture; None leaves it as it is.

    Raises:
        InputError: this model shows pictures of any size alike.
    """
    if least is None and most is None:
        return {}
    size = processor.image_processor.size
    low, high = size.get("shortest_edge"), size.get("longest_edge")
    if low is None or high is None:
        raise InputError("This model has no min_pixels and max_pixels: leave them out.")
    return {"size": {"shortest_edge": least or low, "longest_edge": most or high}}


def _parts(content: str | Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _without_places(processor: Any, text: str) -> str:
    """Some tasks also write "<image>" into their text; the pictures have places of their own."""
    for name in ("image_token", "video_token"):
        text = text.replace(getattr(processor, name, None) or "\0", "")
    return text


def _picture(source: Any) -> Image.Image:
    if isinstance(source, Image.Image):
        return source.convert("RGB")
    with Image.open(source) as file:
        return file.convert("RGB")


def _clip(part: Mapping[str, Any], frames: int) -> Clip:
    source, start, end = part["url"], part.get("start_time"), part.get("end_time")
    if isinstance(source, Mapping):
        start, end = source.get("video_start", start), source.get("video_end", end)
        source = source.get("url") or source.get("path") or source.get("video")
    if not isinstance(source, str):
        raise InputError(f"A video is the path of a file, not {type(source).__name__}.")

    def chosen(metadata: Any, **_: Any) -> np.ndarray:
        if not metadata.total_num_frames:
            raise InputError(f"The video {source} does not say how many frames it has.")
        return spread(metadata.total_num_frames, frames, metadata.fps, start, end)

    shown, metadata = load_video(source, sample_indices_fn=chosen)
    # The pace of what is shown counts from the first frame shown to the last.
    shots = metadata.frames_indices
    metadata.total_num_frames = int(shots[-1] - shots[0]) + 1
    return Clip(shown, metadata)


def spread(
    total: int, most: int, fps: float, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """Ascending numbers of at most `most` frames out of `total`, the first and the last included.

    Args:
        total: frames of the video.
        most: the most to choose.
        fps: frames a second.
        start: second of the first frame, if not the video's.
        end: second of the last frame, if not the video's.
    """
    last = total - 1
    low = 0 if start is None else min(last, int(start * fps))
    high = last if end is None else max(low, min(last, int(end * fps)))
    return np.linspace(low, high, min(most, high - low + 1), dtype=int)
