"""PictureCheck: whether a picture that was chosen can be read, said before anything is asked."""

from __future__ import annotations

from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING

import gradio as gr

from iwp.errors import IWPError, ModelError
from iwp.ui import upload

if TYPE_CHECKING:
    from iwp.ui.backend import Backend
    from iwp.ui.visitors import Visitors


class PictureCheck:
    """The function behind uploading a picture."""

    def __init__(self, visitors: Visitors, engine: Backend, max_pixels: int) -> None:
        """`max_pixels` is the largest picture."""
        self._visitors = visitors
        self._engine = engine
        self._max_pixels = max_pixels

    def check(self, picture: str | None, request: gr.Request) -> str:
        """What is wrong, as HTML; a good picture is kept as it was decoded, for the comparison."""
        if not picture:
            return ""
        visitor = self._visitors.get(request.session_hash)
        try:
            media = upload.opened_picture(picture, self._max_pixels)
        except IWPError as error:
            return f'<p class="refusal" role="alert">{escape(str(error))}</p>'
        with suppress(ModelError):  # another one is being loaded: Compare decodes it again
            visitor.uploaded = (("picture", picture), self._engine.vlm.serial, media)
        return ""
