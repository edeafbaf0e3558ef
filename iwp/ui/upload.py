"""Pictures that come in through the page or its API, and the decoded picture that goes back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio import processing_utils
from gradio.utils import get_upload_folder

from iwp.errors import InputError
from iwp.ui import text

if TYPE_CHECKING:
    from PIL.Image import Image


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
