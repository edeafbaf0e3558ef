"""The live camera: what IWP keeps of every frame, as fast as the device gives it."""

from __future__ import annotations

import base64
import binascii
import io
import time
from html import escape
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from iwp import media, overlay
from iwp.budget import USUAL_BUDGET, check_budget, keep_count
from iwp.errors import IWPError
from iwp.ui import text

if TYPE_CHECKING:
    from PIL.Image import Image

    from iwp.ui.backend import Backend

SLOWEST_S: Final = 0.5  # below two frames a second nothing looks alive
_EVERY_S: Final = 0.1
_LONGEST_S: Final = 600  # of one stream: a forgotten camera frees the device
_MAX_PIXELS: Final = 4_000_000


class CameraFrame(gr.Image):
    """`gr.Image` that hands over a frame's bytes undecoded: `iwp.media` checks and opens them."""

    def get_block_name(self) -> str:
        """Name of the front end's component."""
        return "image"

    def preprocess(self, payload: Any) -> bytes | None:
        """The frame's file, or None where there is none."""
        url = (payload.url or "") if payload else ""
        if not url.startswith("data:"):
            return None
        try:
            return base64.b64decode(url.partition(",")[2], validate=True)
        except binascii.Error:
            return None


class Camera:
    """A folded panel: the camera, and beside it its frames with the kept patches lit."""

    def __init__(self, engine: Backend, demo: gr.Blocks, question: gr.Textbox) -> None:
        self._engine = engine
        with gr.Accordion(text.CAMERA, open=False, visible=False, elem_id="camera") as panel:
            gr.HTML(f"<p>{escape(text.CAMERA_NOTE)}</p>", apply_default_css=False)
            with gr.Row():
                with gr.Column(min_width=300):
                    frame = CameraFrame(
                        show_label=False,
                        label=text.CAMERA,
                        sources=["webcam"],
                        streaming=True,
                        height=300,
                        buttons=[],
                        elem_id="camera-frame",
                    )
                    budget = gr.Slider(
                        1, 100, 100 * USUAL_BUDGET, step=0.1, label=text.CAMERA_BUDGET, buttons=[]
                    )
                with gr.Column(min_width=300):
                    live = gr.HTML(
                        _said(text.CAMERA_HINT), elem_id="camera-live", apply_default_css=False
                    )
        frame.stream(
            self.look,
            [frame, question, budget],
            live,
            stream_every=_EVERY_S,
            time_limit=_LONGEST_S,
            concurrency_id="camera",
            concurrency_limit=4,
            show_progress="hidden",
            api_visibility="private",
        )
        # At load and not while the page is built: only a warmed-up device tells its speed.
        demo.load(self.offered, None, panel, queue=False, api_visibility="private")

    def offered(self) -> Any:
        """Show the panel where the device is fast enough."""
        return gr.update(visible=self._fast)

    @property
    def _fast(self) -> bool:
        seconds = self._engine.glimpse_s
        return seconds is not None and seconds <= SLOWEST_S

    def look(self, frame: bytes | None, question: str, budget: float) -> str:
        """The frame with its dropped patches dark, as HTML; the picture is in it.

        A picture file for every frame would fill the server's disk.
        """
        if not frame:
            return ""
        if not self._fast:  # here too: the model may have changed, and a browser may send anything
            return _said(text.CAMERA_SLOW)
        begun = time.perf_counter()
        try:
            share = check_budget(float(budget) / 100)
            opened = media.open_picture(frame, max_pixels=_MAX_PIXELS)
            asked = (question or "").strip() or text.CAMERA_QUESTION
            ranked = self._engine.glimpse(opened, asked, share)
        except IWPError as error:  # here and not as a message of its own for every frame
            return _said(str(error))
        if ranked is None:
            return _said(text.CAMERA_BUSY)
        n = ranked.layout.n
        keep = keep_count(n, share)
        painted = overlay.render(opened, ranked.layout, ranked.ranking.ranks, keep)
        said = text.CAMERA_RATE.format(keep, n, 1000 * (time.perf_counter() - begun))
        return (
            f'<img src="{_data_url(painted)}" alt="{escape(text.CAMERA_ALT)}" '
            f'width="{painted.width}" height="{painted.height}">{_said(said)}'
        )


def _said(sentence: str) -> str:
    return f"<p>{escape(sentence)}</p>"


def _data_url(picture: Image) -> str:
    data = io.BytesIO()
    picture.save(data, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
