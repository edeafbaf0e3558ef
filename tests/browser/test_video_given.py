"""Which files the video's tab takes in a real browser, and the clip among the examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests import clips
from tests.browser.conftest import Visit, serve
from tests.browser.fake import FakeEngine
from tests.browser.test_video import FRAMES, compare, give, where

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Visit]


def hevc(path: Path) -> None:
    """A file that this browser cannot play."""
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("libx265", rate=10, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for pixels in clips.drawn(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))


@pytest.mark.parametrize("kind", ["mov", "webm", "mkv", "avi", "gif", "hevc"])
def test_other_kinds_show_their_frames(visit: Open, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"clip.{'mp4' if kind == 'hevc' else kind}"
    if kind == "hevc":
        hevc(path)
    else:
        path.write_bytes(clips.film(kind, clips.drawn(3)))
    opened = compare(visit(), path)
    assert opened.page.locator("#clip img").count() == FRAMES
    assert where(opened).startswith("1 of 4")
    assert opened.page.evaluate(
        "document.querySelector('.token-map').tokenMap.view.map.frames.every(f => f.image.width)"
    )


@pytest.mark.parametrize("width", [1360, 390])
def test_removing_a_video_does_not_cover_its_download(visit: Open, clip: Path, width: int) -> None:
    opened = visit(viewport={"width": width, "height": 900})
    give(opened, clip)
    link = opened.page.locator("#video .download-link").bounding_box()
    remove = opened.page.locator("#video button[aria-label=Clear]").bounding_box()
    assert link is not None
    assert remove is not None
    assert link["x"] + link["width"] <= remove["x"]


def _png(path: Path) -> None:
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(path, "PNG")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_bytes(clips.music(cover=False)), "only sound or text"),
        (_png, "open a still picture as a picture"),
        (
            lambda path: path.write_bytes(clips.film("mp4", clips.drawn(1))[:700]),
            "damaged or cut off",
        ),
    ],
    ids=["sound", "picture", "cut"],
)
def test_what_is_no_video_is_said_at_once(
    visit: Open, tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    path = tmp_path / "clip.mp4"
    make(path)
    opened = visit()
    give(opened, path)
    assert sentence in opened.page.inner_text("#clip [role=alert]")
    opened.page.fill("#question textarea", "What?")
    opened.page.click("#compare")
    toast = opened.page.wait_for_selector(".toast-body")
    assert toast is not None
    assert sentence in toast.inner_text()
    assert "Traceback" not in opened.page.content()


def test_the_open_tab_decides(visit: Open, tmp_path: Path, picture: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clips.film("mp4", clips.drawn(5)))
    opened = visit()
    opened.upload(picture)
    compare(opened, path)
    assert opened.view("map.frames.length") == FRAMES
    opened.page.click("#media [role=tab]:has-text('Picture') >> nth=-1")
    opened.page.click("#compare")
    opened.page.wait_for_function(
        "document.querySelector('.token-map').tokenMap.view.map.frames.length === 0"
    )
    opened.wait_for_text("#status", "Done")
    assert opened.page.is_hidden(".film")
    assert opened.page.is_hidden(".export")
    assert opened.page.is_visible(".picture")


@pytest.fixture(scope="module")
def shop(engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with a picture and a clip among its examples."""
    folder = tmp_path_factory.mktemp("examples")
    Image.new("RGB", (120, 90), "red").save(folder / "red.png")
    Image.fromarray(clips.drawn(9)[0]).save(folder / "clip.jpg")
    (folder / "clip.mp4").write_bytes(clips.film("mp4", clips.drawn(9)))
    entries = [
        {"image": "red.png", "question": "Is it red?"},
        {"image": "clip.jpg", "video": "clip.mp4", "question": "Which way?"},
    ]
    (folder / "examples.json").write_text(json.dumps(entries))
    yield from serve(engine, folder)


def test_an_example_clip_opens_its_tab_and_a_link_brings_it_back(visit: Open, shop: str) -> None:
    opened = visit(shop, permissions=["clipboard-read", "clipboard-write"])
    opened.page.click("#examples tr:has-text('Which way?') >> nth=0")
    opened.page.wait_for_selector("#clip img")
    assert opened.page.get_attribute("#video-tab-button", "aria-selected") == "true"
    opened.page.click("#compare")
    opened.wait_for_text("#status", "Done")
    opened.page.click(".share-bar .snippet")
    opened.wait_for_text(".share-bar .said", "Save the video as clip.mp4")
    opened.page.click(".share-bar .link")
    opened.wait_for_text(".share-bar .said", "Link copied.")
    link = opened.page.evaluate("navigator.clipboard.readText()")
    assert link == f"{shop}?example=2&q=Which+way%3F&b=22.2"

    other = visit(link)
    other.page.wait_for_selector("#clip img")
    assert other.page.input_value("#question textarea") == "Which way?"
    other.page.click("#compare")
    other.wait_for_text("#status", "Done")
    assert where(other).startswith("1 of 4")
    other.page.click("#examples tr:has-text('Is it red?') >> nth=0")
    other.page.wait_for_selector("#picture img")
    assert other.page.get_attribute("#video-tab-button", "aria-selected") == "false"
