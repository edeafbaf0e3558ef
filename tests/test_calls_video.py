"""Videos from `iwp.compare`, `iwp.rank` and the page's endpoint."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import iwp
from iwp.adapters.base import VLM
from iwp.engine import Engine
from iwp.errors import InputError
from iwp.settings import Settings
from iwp.types import Media
from iwp.ui import api, upload
from iwp.video import open_video
from tests import clips, tiny


@pytest.fixture
def video(tmp_path: Path) -> str:
    path = tmp_path / "clip.dat"  # the name says nothing
    path.write_bytes(clips.film())
    return str(path)


@cache
def _vlm(folder: Path) -> VLM:
    return iwp.load(str(folder), device="cpu")


def test_compare_takes_the_path_of_a_video(tiny_folder: Path, video: str) -> None:
    vlm = _vlm(tiny_folder)
    result = iwp.compare(vlm, video, "What?", 0.5, max_new_tokens=3)
    assert result.times == pytest.approx([i / clips.FPS for i in range(24)], abs=1e-3)
    opened = open_video(video, 24)
    same = iwp.compare(vlm, opened, "What?", 0.5, max_new_tokens=3)
    assert (same.kept, same.pruned.answer) == (result.kept, result.pruned.answer)
    ranks = iwp.rank(vlm, video, "What?")
    assert sorted(ranks.tolist()) == list(range(result.n_visual))
    assert tuple((ranks < len(result.kept)).nonzero()[:, 0].tolist()) == result.kept


def test_a_picture_has_no_times(tiny_folder: Path) -> None:
    result = iwp.compare(_vlm(tiny_folder), tiny.picture(), "What?", 0.5, max_new_tokens=2)
    assert result.times is None


def test_families_that_read_no_videos_refuse_them(
    tiny_folder: Path, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = _vlm(tiny_folder)
    monkeypatch.setattr(type(vlm.adapter), "reads_clips", False)
    with pytest.raises(InputError, match="still pictures"):
        iwp.compare(vlm, video, "What?")


def test_the_endpoint_takes_a_video(
    tiny_folder: Path, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "get_upload_folder", lambda: str(Path(video).parent))
    settings = Settings(max_new_tokens=2)
    compare = api.endpoint(Engine(_vlm(tiny_folder), settings), settings)  # type: ignore[arg-type]
    content = compare({"path": video}, "What?", 0.5)
    assert len(content["frames"]) == 24
    assert content["frames"][-1]["times"] == [pytest.approx(2.3, abs=1e-3)]


def test_a_video_stays_one_when_another_budget_is_asked_for(tiny_folder: Path) -> None:
    engine = Engine(_vlm(tiny_folder), Settings(max_new_tokens=2))
    pictures = tuple(Image.fromarray(np.full((48, 64, 3), 60 * i, np.uint8)) for i in range(3))
    media = Media(pictures, (0.0, 0.5, 2.0), "video")
    session = list(engine.compare(media, "What?", 0.5))[-1].session  # type: ignore[union-attr]
    assert engine.repruned(session, 0.25).result().times == media.times
