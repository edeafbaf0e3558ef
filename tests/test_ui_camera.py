"""What the camera's panel makes of frames, good and bad."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from iwp.engine import Engine
from iwp.settings import Settings
from iwp.ui import text
from iwp.ui.camera import SLOWEST_S, Camera, CameraFrame
from tests.browser.fake import FakeEngine


def jpeg(size: tuple[int, int] = (320, 240)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "white").save(data, format="JPEG")
    return data.getvalue()


def camera(engine: object) -> Camera:
    with gr.Blocks() as demo:
        return Camera(engine, demo, gr.Textbox())  # type: ignore[arg-type]


def fast() -> FakeEngine:
    engine = FakeEngine()
    engine.glimpse_s = 0.1
    return engine


def picture_in(html: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(html.split("base64,")[1].split('"')[0])))


def test_dropped_patches_are_dark_in_a_frame_of_the_same_size() -> None:
    shown = camera(fast()).look(jpeg(), "What is this?", 50.0)
    pixels = np.asarray(picture_in(shown).convert("L"))
    assert pixels.shape == (240, 320)
    assert 0.2 < (pixels > 200).mean() < 0.8
    assert (pixels < 100).any()


def test_the_embedded_model_keeps_the_share_that_is_asked_for() -> None:
    engine = Engine.load(Settings())
    assert engine.glimpse_s is None
    engine.glimpse_s = 0.1
    said = camera(engine).look(jpeg(), "", 10.0)
    keep, n = (int(word) for word in said.rpartition("<p>")[2].split()[::2][:2])
    assert keep == round(0.1 * n)


def test_a_frame_waits_for_nobody() -> None:
    engine = Engine.load(Settings())
    engine.glimpse_s = 0.1
    with engine._device:
        assert text.CAMERA_BUSY in camera(engine).look(jpeg(), "Who?", 20.0)
    assert "tokens kept" in camera(engine).look(jpeg(), "Who?", 20.0)  # and holds nobody up


@pytest.mark.parametrize("seconds", [None, 30.0])
def test_a_model_that_is_too_slow_is_not_asked(seconds: float | None) -> None:
    engine = fast()
    engine.glimpse_s = seconds
    assert text.CAMERA_SLOW in camera(engine).look(jpeg(), "Who?", 20.0)


@pytest.mark.parametrize(
    ("frame", "budget"),
    [(b"no picture", 20.0), (jpeg(), 0.0), (jpeg(), 300.0), (jpeg()[:300], 20.0)],
)
def test_bad_input_is_one_sentence(frame: bytes, budget: float) -> None:
    said = camera(fast()).look(frame, "Who?", budget)
    assert said.startswith("<p>")
    assert said.endswith(".</p>")


def test_no_frame_shows_nothing() -> None:
    assert camera(fast()).look(None, "Who?", 20.0) == ""


@pytest.mark.parametrize(
    "url", ["", "https://example.org/cat.png", "data:image/png;base64,%%%", "/etc/passwd"]
)
def test_only_pictures_in_the_request_itself_are_read(url: str) -> None:
    frame = CameraFrame(sources=["webcam"], streaming=True)
    assert frame.preprocess(SimpleNamespace(url=url, path="/etc/passwd")) is None


@pytest.mark.parametrize(("seconds", "there"), [(None, False), (SLOWEST_S, True), (0.6, False)])
def test_it_is_offered_where_frames_come_fast_enough(seconds: float | None, there: bool) -> None:
    engine = FakeEngine()
    engine.glimpse_s = seconds
    assert camera(engine).offered()["visible"] is there


def test_warming_up_measures_a_glimpse() -> None:
    engine = Engine.load(Settings(max_new_tokens=2))
    engine.warm_up()
    assert engine.glimpse_s is not None
    assert engine.glimpse_s > 0.002  # a model has run: a glimpse at a busy device takes no time
