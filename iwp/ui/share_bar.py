"""ShareBar: buttons that copy a link or a snippet, and download a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.data_classes import GradioModel

from iwp.ui import text

_HERE: Final = Path(__file__).parent
_HTML: Final = (_HERE / "share_bar.html").read_text("utf-8")
_JS: Final = f"const WORDS = {json.dumps(text.SHARED)};\n" + (_HERE / "share_bar.js").read_text(
    "utf-8"
)


class ShareData(GradioModel):
    """What the buttons hand out; None where there is nothing yet.

    `whole` says whether the query brings back the picture or video too.
    """

    query: str
    whole: bool
    video: bool = False
    snippet: str | None = None
    report: str | None = None


class ShareBar(gr.HTML):
    """The buttons. Everything happens in the browser, without a request."""

    data_model = ShareData

    def __init__(self, **options: Any) -> None:
        super().__init__(html_template=_HTML, js_on_load=_JS, apply_default_css=False, **options)

    def postprocess(self, value: ShareData | None) -> ShareData | None:
        """Send the value as it is; `None` leaves nothing to hand out."""
        return value

    def preprocess(self, payload: ShareData | None) -> ShareData | None:
        """Never an input of an event, but gradio asks every component for this."""
        return payload

    def api_info(self) -> dict[str, Any]:
        """JSON schema of the value."""
        return {"type": "object", "title": "ShareData"}
