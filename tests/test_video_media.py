"""Whether a file is a picture or a video is told by its content."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from iwp.errors import InputError
from iwp.types import Sampling
from iwp.video import is_video, open_media
from tests import clips

CLIPS: Any = SimpleNamespace(reads_clips=True, sampling=Sampling(3))
STILLS: Any = SimpleNamespace(reads_clips=False, sampling=None)


@pytest.mark.parametrize("kind", clips.NAMES)
def test_the_content_says_what_is_a_video(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(clips.film(kind))
    media = open_media(path, CLIPS)
    assert (media.kind, len(media.frames)) == ("video", 3)
    assert is_video(path, gifs=True)
    assert is_video(path) == (kind != "gif")


@pytest.mark.parametrize("kind", ["PNG", "GIF", "AVIF", "HEIF"])
def test_the_content_says_what_is_a_picture(kind: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), (200, 30, 60))
    path = tmp_path / "clip.mp4"
    with path.open("wb") as file:
        if kind == "HEIF":
            pillow_heif.from_pillow(image).save(file, quality=95)
        else:
            image.save(file, kind)
    assert open_media(path, CLIPS).kind == "image"
    assert open_media(image, CLIPS).kind == "image"
    assert not is_video(path, gifs=True)


def test_a_gif_is_its_first_frame_to_families_that_read_no_videos() -> None:
    media = open_media(clips.film("gif"), STILLS)
    assert (media.kind, media.times, clips.number(media.frames[0])) == ("image", (0.0,), 0)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file 'absent'"):
        open_media(tmp_path / "absent", CLIPS)
