"""Download: hands the browser a file as soon as the server has made it. Shows nothing."""

from __future__ import annotations

import uuid
from typing import Any, Final

import gradio as gr
from gradio.data_classes import FileData, GradioModel
from pydantic import Field

_JS: Final = """
watch("value", () => {
    if (!props.value || !props.value.file) return;
    const link = document.createElement("a");
    link.href = props.value.file.url;
    link.download = props.value.file.orig_name;
    link.click();
});
"""


class DownloadData(GradioModel):
    """A file. `id` is new each time, so that the same file is handed out again."""

    file: FileData
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)


class Download(gr.HTML):
    """Without a button: that stands in the token map."""

    data_model = DownloadData

    def __init__(self, **options: Any) -> None:
        super().__init__(html_template="<i hidden></i>", js_on_load=_JS, **options)

    def postprocess(self, value: DownloadData | None) -> DownloadData | None:
        """Send the value as it is."""
        return value

    def preprocess(self, payload: DownloadData | None) -> DownloadData | None:
        """Never an input of an event, but gradio asks every component for this."""
        return payload

    def api_info(self) -> dict[str, Any]:
        """JSON schema of the value."""
        return {"type": "object", "title": "DownloadData"}
