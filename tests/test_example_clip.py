"""The clip among the page's examples is the one that the repository draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from iwp.scenes import example_clip
from iwp.video import open_video

FOLDER = Path(__file__).parents[1] / "assets" / "examples"


def test_the_shipped_clip_is_drawn_again() -> None:
    clip = example_clip.drawn()
    path = FOLDER / f"{example_clip.NAME}.mp4"
    assert path.stat().st_size < 300_000
    n, shown = len(clip.frames), open_video(path, 64)
    assert len(shown.frames) == n + 1  # the last one twice: see `iwp.video.mp4`
    assert np.allclose(np.diff(shown.times[:n]), np.diff(clip.times), atol=0.002)
    apart = [
        np.abs(np.asarray(frame, float) - drawn).mean()
        for frame, drawn in zip(shown.frames, clip.frames, strict=False)
    ]
    assert max(apart) < 12  # coding, and the grain of the drawing


def test_its_question_has_one_answer() -> None:
    entries = json.loads((FOLDER / "examples.json").read_text("utf-8"))
    [entry] = [one for one in entries if one.get("video") == f"{example_clip.NAME}.mp4"]
    assert entry["question"] == "Which way does the red star move?"
    named = [actor for actor in example_clip.drawn().actors if actor.name == "red star"]
    assert [actor.way for actor in named] == ["left"]


def test_saving_writes_the_clip_and_its_picture(tmp_path: Path) -> None:
    example_clip.save(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"{example_clip.NAME}.jpg", f"{example_clip.NAME}.mp4"]
    with Image.open(tmp_path / names[0]) as picture:
        assert picture.size == (196, 196)
