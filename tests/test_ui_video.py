"""Videos on the page, without a page: upload, frames, limits, what is taken along."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from iwp.errors import InputError
from iwp.settings import Settings
from iwp.ui import launch_options, upload
from iwp.ui.clip_preview import Previews
from iwp.ui.examples import Examples
from iwp.ui.handlers import Handlers
from iwp.ui.picture_check import PictureCheck
from iwp.ui.sharing import Sharing
from iwp.ui.visitors import Asked, Visitor
from iwp.video import open_video
from tests import clips
from tests.browser.fake import FakeEngine
from tests.browser.tokens import FRAME_SIDE
from tests.ui_events import TAB, begin, follow

FRAMES = 4  # the fake family's


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(word_s=0.005)


@pytest.fixture
def clip(tmp_path: Path) -> str:
    path = tmp_path / "holiday.mp4"
    path.write_bytes(clips.film("mp4", 13))
    return str(path)


@pytest.fixture
def previews(handlers: Handlers, engine: FakeEngine, tmp_path: Path) -> Previews:
    cache = str(tmp_path / "cache")
    return Previews(handlers.visitors, engine, Settings().max_pixels, cache)  # type: ignore[arg-type]


def preview(previews: Previews, video: str | None) -> Any:
    return previews.preview(video, TAB)


# --- what is shown -----------------------------------------------------------------------


def test_every_frame_goes_to_the_page_with_its_time(handlers: Handlers, clip: str) -> None:
    shown, *_ = begin(handlers, None, "What moves?", 0.25, video=clip)
    times = [frame.time for frame in shown.frames]
    assert times == pytest.approx([0.0, 0.4, 0.8, 1.2])
    numbers = [clips.number(Image.open(frame.file.path)) for frame in shown.frames]
    assert numbers == [0, 4, 8, 12]
    assert shown.picture.path == shown.frames[0].file.path

    token_map, baseline, *_ = follow(handlers)[-1]
    assert [grid.frame for grid in token_map.grids] == [0, 1, 2, 3]
    assert token_map.n == FRAMES * FRAME_SIDE**2 + 1
    assert token_map.frames == shown.frames
    assert baseline.startswith(f"{token_map.n} tokens looked at")


def test_a_picture_has_no_frames(handlers: Handlers, picture: str) -> None:
    shown, *_ = begin(handlers, picture, "What?", 0.25)
    assert shown.frames == []


def test_a_chosen_video_is_shown_decoded_and_opened_once(
    handlers: Handlers, previews: Previews, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = preview(previews, clip)
    assert "4 frames out of 1.2 s" in found.words
    assert [Path(file.path).is_file() for file in found.frames] == [True] * FRAMES
    monkeypatch.setattr(upload, "open_video", lambda *_, **__: pytest.fail("opened again"))
    shown, *_ = begin(handlers, None, "What?", 0.25, video=clip)
    assert len(shown.frames) == FRAMES
    assert preview(previews, None) is None
    assert handlers.visitors.get("tab").uploaded is None


def test_one_file_on_both_tabs_is_what_the_open_one_says(
    handlers: Handlers, previews: Previews, engine: FakeEngine, tmp_path: Path
) -> None:
    path = tmp_path / "waving.gif"
    path.write_bytes(clips.film("gif", 13))
    check = PictureCheck(handlers.visitors, engine, Settings().max_pixels).check  # type: ignore[arg-type]
    preview(previews, str(path))
    assert check(str(path), TAB) == ""
    shown, *_ = begin(handlers, None, "What?", 0.25, video=str(path))
    assert len(shown.frames) > 1
    preview(previews, str(path))
    shown, *_ = begin(handlers, str(path), "What?", 0.25)
    assert shown.frames == []


def test_a_video_chosen_before_the_model_changed_is_opened_for_the_new_one(
    handlers: Handlers, previews: Previews, engine: FakeEngine, clip: str
) -> None:
    preview(previews, clip)
    engine.vlm.serial += 1
    engine.vlm.adapter.sampling = replace(engine.vlm.adapter.sampling, most=2)
    shown, *_ = begin(handlers, None, "What?", 0.25, video=clip)
    assert len(shown.frames) == 2
    preview(previews, clip)
    engine.vlm.serial += 1
    engine.vlm.adapter.reads_clips = False
    with pytest.raises(gr.Error, match="still"):
        begin(handlers, None, "What?", 0.25, video=clip)


def test_a_long_video_has_a_short_preview(
    previews: Previews, engine: FakeEngine, tmp_path: Path
) -> None:
    engine.vlm.adapter.sampling = replace(engine.vlm.adapter.sampling, most=36)
    path = tmp_path / "long.mp4"
    path.write_bytes(clips.film("mp4", 36))
    found = preview(previews, str(path))
    assert "36 frames" in found.words
    assert len(found.frames) == 12


def test_a_video_counts_once_in_what_a_tab_holds(clip: str) -> None:
    media = open_video(clip, FRAMES)
    sides: Any = None
    visitor = Visitor(uploaded=(clip, 1, media))
    pixels = 3 * FRAMES * clips.SIZE[0] * clips.SIZE[1]
    assert visitor.nbytes == pixels
    visitor.asked = Asked("1", media, "What?", 0.2, "x.jpg", sides)
    assert visitor.nbytes == pixels


# --- what is refused ---------------------------------------------------------------------


def _png(path: Path) -> None:
    Image.new("RGB", (64, 48)).save(path, "PNG")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(clips.music(cover=True)), "only sound"),
        (_png, "open a still picture as a picture"),
        (lambda path: path.write_bytes(b"RIFF\0\0\0\0AVI LIST" + bytes(99)), "damaged|no pict"),
        (lambda path: path.write_bytes(clips.film("mp4", 13)[:900]), "damaged|cut off"),
    ],
    ids=["empty", "sound", "picture", "broken", "cut"],
)
def test_what_is_no_video_is_one_sentence(
    handlers: Handlers,
    previews: Previews,
    tmp_path: Path,
    make: Callable[[Path], None],
    says: str,
) -> None:
    path = tmp_path / "clip.mp4"
    make(path)
    found = preview(previews, str(path))
    assert found.frames == []
    assert found.words.count("\n") == 0
    with pytest.raises(gr.Error, match=says) as caught:
        begin(handlers, None, "What?", 0.25, video=str(path))
    assert str(caught.value.message) == found.words


def test_a_family_of_still_pictures_says_so(engine: FakeEngine, clip: str) -> None:
    engine.vlm.adapter.reads_clips = False
    with pytest.raises(InputError, match="still pictures"):
        upload.opened_video(clip, engine.vlm.adapter, Settings().max_pixels)


def test_pictures_are_smaller_than_videos(engine: FakeEngine, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.new("RGB", (64, 48)).save(large)
    with large.open("ab") as file:
        file.truncate(50_000_001)
    adapter, most = engine.vlm.adapter, Settings().max_pixels
    for open_it in (
        lambda: upload.opened_picture(large, most),
        lambda: upload.opened(large, adapter, most),
    ):
        with pytest.raises(InputError, match="larger than 50 MB; send a smaller copy"):
            open_it()
    assert launch_options()["max_file_size"] == 200_000_000


def test_the_content_decides_where_both_may_come(
    engine: FakeEngine, clip: str, picture: str, tmp_path: Path
) -> None:
    adapter, most = engine.vlm.adapter, Settings().max_pixels
    renamed = tmp_path / "clip.png"
    renamed.write_bytes(Path(clip).read_bytes())
    assert upload.opened(renamed, adapter, most).kind == "video"
    assert upload.opened(Path(picture), adapter, most).kind == "image"


# --- what is taken along -----------------------------------------------------------------


def test_report_and_snippet_speak_of_a_video(handlers: Handlers, clip: str, tmp_path: Path) -> None:
    begin(handlers, None, "What moves?", 0.25, video=clip)
    follow(handlers)
    sharing = Sharing(
        lambda: handlers.usual, handlers.visitors, Examples(Path("/nowhere")), str(tmp_path)
    )
    share = sharing.share(TAB)
    assert share is not None
    assert share.video
    assert not share.whole
    assert '"clip.mp4"' in (share.snippet or "")
    report = json.loads(share.report or "")
    video = report["inputs"]["video"]
    assert video["times"] == pytest.approx([0.0, 0.4, 0.8, 1.2])
    assert (video["width"], video["height"], video["frames"]) == (*clips.SIZE, FRAMES)
    assert "picture" not in report["inputs"]
    frames = report["result"]["frames"]
    assert [frame["tokens"] for frame in frames] == [FRAME_SIDE**2] * FRAMES
    kept = np.array(report["result"]["kept"]) // FRAME_SIDE**2
    assert [frame["kept"] for frame in frames] == [int((kept == i).sum()) for i in range(FRAMES)]


def test_an_example_can_be_a_clip(handlers: Handlers, clip: str, tmp_path: Path) -> None:
    folder = tmp_path / "examples"
    folder.mkdir()
    Image.new("RGB", (40, 30)).save(folder / "one.jpg")
    (folder / "one.mp4").write_bytes(Path(clip).read_bytes())
    entry = {"image": "one.jpg", "video": "one.mp4", "question": "What moves?"}
    (folder / "examples.json").write_text(json.dumps([entry]))
    examples = Examples(folder)
    assert examples.rows == ((folder / "one.jpg", "What moves?"),)
    assert examples.number_of(clip) == 1
    sharing = Sharing(lambda: handlers.usual, handlers.visitors, examples, str(tmp_path / "cache"))
    request: Any = SimpleNamespace(query_params={"example": "1"}, session_hash="tab")
    for given in (sharing.choose(0), sharing.draw(""), sharing.restore(request)):
        tab, video = given[-2:]
        assert given[1] == "What moves?"
        assert given[0] == gr.skip()
        assert tab["selected"] == "video"
        assert Path(video).suffix == ".mp4"
        assert examples.number_of(video) == 1
