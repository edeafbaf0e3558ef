"""ClipPreview: the frames of a chosen video as the server has decoded them, or what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from gradio.data_classes import FileData, GradioModel
from PIL import ImageOps

from iwp.errors import IWPError
from iwp.ui import text, upload

if TYPE_CHECKING:
    from iwp.types import Media
    from iwp.ui.backend import Backend
    from iwp.ui.visitors import Visitors

_MOST: Final = 16  # frames, spread over the video
_SIDE: Final = 160  # pixels of a frame's longer side: twice what is shown of it
_HTML: Final = """{{#if value}}<div class="clip">
{{#if value.frames}}<p>{{value.words}}</p><div class="strip" aria-hidden="true">
{{#each value.frames}}<img src="{{this.url}}" alt="">{{/each}}</div>
{{else}}<p class="refusal" role="alert">{{value.words}}</p>{{/if}}
</div>{{/if}}"""


class ClipPreviewData(GradioModel):
    """A caption and some of the frames, small; without any the words say what is wrong."""

    words: str
    frames: list[FileData] = []  # noqa: RUF012 - gradio's models copy it


class ClipPreview(gr.HTML):
    """Shows what a model will be shown: browsers cannot play all that is read here."""

    data_model = ClipPreviewData

    def __init__(self, **options: Any) -> None:
        super().__init__(html_template=_HTML, apply_default_css=False, **options)

    def postprocess(self, value: ClipPreviewData | None) -> ClipPreviewData | None:
        """Send the value as it is; `None` shows nothing."""
        return value

    def preprocess(self, payload: ClipPreviewData | None) -> ClipPreviewData | None:
        """Never an input of an event, but gradio asks every component for this."""
        return payload

    def api_info(self) -> dict[str, Any]:
        """JSON schema of the value."""
        return {"type": "object", "title": "ClipPreviewData"}


class Previews:
    """The function behind choosing a video."""

    def __init__(self, visitors: Visitors, engine: Backend, max_pixels: int, cache: str) -> None:
        """`max_pixels` is the largest frame; from `cache` the page may show pictures."""
        self._visitors = visitors
        self._engine = engine
        self._max_pixels = max_pixels
        self._cache = cache

    def preview(self, video: str | None, request: gr.Request) -> ClipPreviewData | None:
        """Decode a video that was chosen, and keep its frames for the comparison."""
        visitor = self._visitors.get(request.session_hash)
        visitor.uploaded = None
        if not video:
            return None
        try:
            vlm = self._engine.vlm
            serial, adapter = vlm.serial, vlm.adapter
            media = upload.opened_video(video, adapter, self._max_pixels)
        except IWPError as error:
            return ClipPreviewData(words=str(error))
        visitor.uploaded = (("video", video), serial, media)
        step = -(-len(media.frames) // _MOST)
        shown = [ImageOps.contain(frame, (_SIDE, _SIDE)) for frame in media.frames[::step]]
        files = [FileData(path=upload.served_copy(frame, self._cache)) for frame in shown]
        return ClipPreviewData(words=_caption(media), frames=files)


def _caption(media: Media) -> str:
    if len(media.frames) == 1:
        return text.CLIP_FRAME
    return text.CLIP_FRAMES.format(len(media.frames), media.times[-1])
