"""Files that come in through the page or its API, and the decoded pictures that go back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio import processing_utils
from gradio.utils import get_upload_folder

from iwp.adapters.base import STILLS_ONLY
from iwp.errors import InputError
from iwp.media import open_file, open_picture
from iwp.ui import text
from iwp.video import is_video, open_video
from iwp.video.opening import MAX_BYTES

if TYPE_CHECKING:
    from PIL.Image import Image

    from iwp.adapters.base import Adapter
    from iwp.types import Media

LARGEST = MAX_BYTES
"""Bytes of the largest upload: a video."""
LARGEST_PICTURE = 50_000_000
VIDEO_TYPES = ["video", ".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif"]
"""What the file dialog offers. The content decides: see `iwp.video`."""


class PictureUpload(gr.Image):
    """`gr.Image` that hands over the uploaded file unopened.

    The stock component opens the file itself and shows server paths when that fails; here
    `iwp.media` opens it and says in one sentence what is wrong. There is no `__init__`: gradio
    reads the browser's properties from the signature of the class's own.
    """

    def get_block_name(self) -> str:
        """Name of the front end's component."""
        return "image"

    def preprocess(self, payload: Any) -> str | None:
        """Path of the uploaded file, or None when there is none."""
        return payload.path if payload else None


class VideoUpload(gr.File):
    """`gr.File` that hands over the uploaded file unopened, whatever its name.

    Not `gr.Video`: browsers play few of the formats that are read here. There is no `__init__`, as
    in `PictureUpload`.
    """

    def get_block_name(self) -> str:
        """Name of the front end's component."""
        return "file"

    def preprocess(self, payload: Any) -> str | None:
        """Path of the uploaded file, or None when there is none."""
        return payload.path if payload else None


def opened_picture(path: str | Path, max_pixels: int) -> Media:
    """A picture, or of an animated one the first frame: see `iwp.media.open_picture`.

    Raises:
        InputError: it cannot be read, or it has more than `LARGEST_PICTURE` bytes or `max_pixels`.
    """
    with open_file(Path(path)) as file:
        if file.seek(0, io.SEEK_END) > LARGEST_PICTURE:
            raise InputError(text.PICTURE_TOO_LARGE.format(LARGEST_PICTURE // 10**6))
    return open_picture(path, max_pixels=max_pixels)


def opened_video(path: str | Path, adapter: Adapter, max_pixels: int) -> Media:
    """The frames of a video that a model of this family is shown: see `iwp.video.open_video`.

    Raises:
        InputError: it cannot be read, or this family does not read videos.
    """
    if not adapter.reads_clips:
        raise InputError(STILLS_ONLY)
    return open_video(path, adapter.sampling, max_pixels=max_pixels)


def opened(path: Path, adapter: Adapter, max_pixels: int) -> Media:
    """A picture or a video, whichever the content is.

    Raises:
        InputError: see `opened_picture` and `opened_video`.
    """
    if is_video(path, gifs=adapter.reads_clips):
        return opened_video(path, adapter, max_pixels)
    return opened_picture(path, max_pixels)


def uploaded_path(image: Any) -> Path:
    """The file behind the API's `image` argument.

    Args:
        image: what `gradio_client.handle_file` becomes on the server: a dict with `path`.

    Raises:
        InputError: no file, or one that was not uploaded (a path on the server, a web address).
    """
    if not image:
        raise InputError(text.NO_PICTURE)
    path = image.get("path") if isinstance(image, dict) else None
    if not isinstance(path, str) or "\0" in path:
        raise InputError(text.NOT_UPLOADED)
    file = Path(path).resolve()
    if not file.is_relative_to(Path(get_upload_folder()).resolve()) or not file.is_file():
        raise InputError(text.NOT_UPLOADED)
    return file


def served_copy(picture: Image, cache: str) -> str:
    """Path of `picture` as a file the page may show.

    The browser must get the decoded picture and not the upload: phone formats and turned
    pictures look different there.
    """
    data = io.BytesIO()
    picture.save(data, format="JPEG", quality=92)
    return str(processing_utils.save_bytes_to_cache(data.getvalue(), "picture.jpg", cache))


def served_frames(media: Media, cache: str) -> tuple[str, ...]:
    """Paths of all frames of a video as files the page may show; none for a picture."""
    if media.kind == "image":
        return ()
    return tuple(served_copy(frame, cache) for frame in media.frames)
