"""The page's MP4: what it shows is what the browser showed."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import gradio as gr
import numpy as np
import pytest

from iwp.overlay import ONLY_LEFT
from iwp.ui.exports import Exports
from iwp.ui.handlers import Handlers
from iwp.ui.token_sides import kept_bits
from tests import clips
from tests.browser.fake import FakeEngine
from tests.browser.tokens import FRAME_SIDE
from tests.ui_events import TAB, begin, follow

SIZE = (98, 98)  # a token of the fake family has 14 pixels
PER_FRAME = FRAME_SIDE**2
N = 4 * PER_FRAME + 1
FIRST = tuple(range(PER_FRAME))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(word_s=0.001)


@pytest.fixture
def shown(handlers: Handlers, tmp_path: Path) -> str:
    """The id of the map of a grey video."""
    path = tmp_path / "clip.mp4"
    grey = [np.full((*SIZE, 3), 200, np.uint8) for _ in range(4)]
    path.write_bytes(clips.film("mp4", grey))
    begin(handlers, None, "What?", 0.25, "fastv", video=str(path))
    token_map = follow(handlers)[-1][0]
    assert token_map.n == N
    return str(token_map.id)


@pytest.fixture
def exports(handlers: Handlers, tmp_path: Path) -> Exports:
    return Exports(handlers.visitors, str(tmp_path / "cache"))


def written(exports: Exports, shown: str, *kept: tuple[int, ...], **other: Any) -> Path:
    event: Any = SimpleNamespace(
        **{
            "id": shown,
            "mode": "mask",
            "side": "right",
            "percent": 25.0,
            "dim": 0.78,
            "palette": "viridis",
            "kept": [kept_bits(N, tokens) for tokens in kept],
            **other,
        }
    )
    found = exports.export(event, TAB)
    assert found.file.orig_name == "tokens_25.0pct.mp4"
    return Path(found.file.path)


def frames(path: Path) -> list[tuple[float, Any]]:
    with av.open(io.BytesIO(path.read_bytes())) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in file.decode(stream)]


def test_kept_patches_are_lit_in_their_frame(exports: Exports, shown: str) -> None:
    found = frames(written(exports, shown, (*FIRST[:FRAME_SIDE], PER_FRAME + 48)))
    assert [time for time, _ in found[:4]] == pytest.approx([0.0, 0.1, 0.2, 0.3], abs=0.002)
    first, second, third = (pixels for _, pixels in found[:3])
    assert first.shape == (*SIZE, 3)
    assert first[4:10].mean() > 180  # its first row of patches
    assert first[20:].mean() < 90
    assert second[88:, 88:].mean() > 180
    assert second[:80].mean() < 90
    assert third.mean() < 90


def test_every_mode_and_the_difference_are_burnt_in(exports: Exports, shown: str) -> None:
    made = {mode: written(exports, shown, FIRST, mode=mode) for mode in ("mask", "heat", "outline")}
    looks = {mode: frames(path)[0][1].mean() for mode, path in made.items()}
    assert len({round(float(look)) for look in looks.values()}) == 3
    assert frames(made["heat"])[1][1].mean() < 90  # dropped patches have no colour
    difference = frames(written(exports, shown, FIRST, ()))[0][1]
    red, _, blue = difference.reshape(-1, 3).mean(axis=0)
    assert red - blue > (ONLY_LEFT[0] - ONLY_LEFT[2]) * 0.3


def test_the_look_is_the_one_on_the_page(exports: Exports, shown: str) -> None:
    def mean(**look: Any) -> float:
        return float(frames(written(exports, shown, FIRST, **look))[1][1].mean())

    assert mean(dim=0.2) > mean() + 80  # a frame whose patches are dropped
    assert mean(dim=1.0) < mean() - 20
    heat = [
        frames(written(exports, shown, FIRST, mode="heat", palette=palette))[0][1][:, :, 0].mean()
        for palette in ("viridis", "cividis")
    ]
    assert abs(heat[0] - heat[1]) > 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "7/ranked"},
        {"kept": None},
        {"kept": []},
        {"kept": ["no bits"]},
        {"kept": [kept_bits(8, (1,))]},
        {"percent": "x"},
        {"percent": "NaN"},
        {"percent": float("inf")},
        {"mode": ["mask"]},
        {"percent": 101},
        {"dim": None},
        {"dim": 1.5},
        {"dim": "NaN"},
        {"dim": 10**400},
        {"palette": "jet"},
        {"palette": ["viridis"]},
    ],
)
def test_what_the_browser_says_is_checked(
    exports: Exports, shown: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(gr.Error, match="do not belong"):
        written(exports, shown, FIRST, **wrong)


def test_a_picture_and_a_forgotten_video_are_refused(
    handlers: Handlers, exports: Exports, picture: str
) -> None:
    with pytest.raises(gr.Error, match="no longer kept"):
        written(exports, "1/ranked", FIRST)
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    with pytest.raises(gr.Error, match="no longer kept"):
        written(exports, "1/ranked", FIRST)
