"""The video that the page saves, in a real browser."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import av
import pytest

from tests.browser.test_video import Open, compare

pytestmark = pytest.mark.browser


PLAYED = """async (data) => {
    const video = document.createElement("video");
    video.muted = true;
    video.src = "data:video/mp4;base64," + data;
    document.body.append(video);
    await new Promise((done, failed) => {
        video.addEventListener("loadeddata", done);
        video.addEventListener("error", () => failed(video.error.message));
    });
    video.currentTime = 0.85;
    await new Promise((done) => video.addEventListener("seeked", done));
    await video.play();
    await new Promise((done) => video.addEventListener("ended", done));
    return [video.videoWidth, video.videoHeight, video.duration, video.currentTime];
}"""


def test_the_mp4_plays_in_the_browser(visit: Open, clip: Path, pictures_folder: Path) -> None:
    compared = compare(visit(), clip)
    page = compared.page
    page.click(".presets button:text-is('11.1 %')")
    compared.wait_for_text("#status", "Done")
    page.focus(".export")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "tokens_11.1pct.mp4"
    data = Path(download.value.path()).read_bytes()
    (pictures_folder / "kept.mp4").write_bytes(data)
    width, height, duration, ended = page.evaluate(PLAYED, base64.b64encode(data).decode())
    assert (width, height) == (160, 96)
    assert duration == pytest.approx(1.6, abs=0.1)
    assert ended == pytest.approx(duration, abs=0.1)
    compared.wait_for_text(".export", "Save MP4")
    with page.expect_download() as download:  # the same file again
        page.click(".export")
    assert Path(download.value.path()).read_bytes() == data
    page.click(".looks summary")
    page.focus(".dim")
    page.keyboard.press("Home")
    compared.wait_for_text(".export", "Save MP4")
    with page.expect_download() as download:
        page.click(".export")
    lighter = Path(download.value.path()).read_bytes()
    assert brightness(lighter) > brightness(data) + 40


def brightness(film: bytes) -> float:
    """Mean grey of a video's first frame."""
    with av.open(io.BytesIO(film)) as file:
        return float(next(file.decode(video=0)).to_ndarray(format="gray").mean())
