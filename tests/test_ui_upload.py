"""Which files the API accepts, and which pictures go back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gradio.utils import get_upload_folder
from PIL import Image

from iwp.errors import InputError
from iwp.ui import upload


@pytest.mark.parametrize(
    "image",
    [
        "https://example.org/x.png",
        {"path": "https://example.org/x.png"},
        {"path": "/etc/passwd"},
        {"path": str(Path(get_upload_folder()) / ".." / "x.png")},
        {"path": get_upload_folder()},
        {"path": "a\0b"},
        {"path": 7},
        {"url": "https://example.org/x.png"},
        ["x.png"],
    ],
)
def test_only_uploads_are_accepted(image: Any) -> None:
    with pytest.raises(InputError, match="uploaded file"):
        upload.uploaded_path(image)


@pytest.mark.parametrize("image", [None, {}, ""])
def test_no_picture(image: Any) -> None:
    with pytest.raises(InputError, match="Add a picture"):
        upload.uploaded_path(image)


def test_an_upload_is_found() -> None:
    folder = Path(get_upload_folder()) / "iwp-test"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "x.png"
    file.write_bytes(b"x")
    assert upload.uploaded_path({"path": str(file)}) == file.resolve()


def test_the_page_gets_the_decoded_picture(tmp_path: Path) -> None:
    path = upload.served_copy(Image.new("RGB", (90, 60), "teal"), str(tmp_path))
    assert Path(path).is_relative_to(tmp_path)
    with Image.open(path) as copy:
        assert copy.size == (90, 60)
    assert path == upload.served_copy(Image.new("RGB", (90, 60), "teal"), str(tmp_path))
