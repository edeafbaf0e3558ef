"""Video files that are broken, or none: what can be read is, and the rest is one sentence."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from iwp.errors import InputError
from iwp.video import decoding, open_video, opening, timeline
from tests import clips


def _refusal(source: Any, shown: int = 4, **options: int) -> str:
    with pytest.raises(InputError) as caught:
        open_video(source, shown, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert "/" not in text
    return text


def _frames(data: bytes, shown: int = 99) -> dict[float, int]:
    media = open_video(data, shown)
    return dict(zip(media.times, map(clips.number, media.frames), strict=True))


def _packets(data: bytes) -> int:
    """Frames of a film that are there, whether or not they can be decoded."""
    count = 0
    with av.open(io.BytesIO(data)) as film, suppress(av.FFmpegError):
        for packet in film.demux(video=0):
            count += bool(packet.size)
    return count


def _noisy(kind: str, n: int = 40) -> bytes:
    """A film whose bytes are spread evenly over its frames; a square shows the number."""
    noise = np.random.default_rng(0).integers(0, 255, (n, 48, 64, 3), dtype=np.uint8)
    noise[:, 12:36, 12:36] = np.array([clips.grey(i) for i in range(n)])[:, None, None, None]
    return clips.film(kind, list(noise))


# --- cut off -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["faststart", "mkv", "webm", "avi", "fragments", "gif"])
def test_a_tail_that_is_missing(kind: str) -> None:
    data = _noisy(kind)
    whole = _frames(data)
    assert list(whole.values()) == list(range(40))
    cut = _frames(data[: int(len(data) * 0.8)])
    assert 24 <= len(cut) <= 36
    numbers = list(cut.values())
    # The last frame or two may be half a frame.
    assert numbers[:-2] == list(range(len(cut)))[:-2]
    assert list(cut)[:-2] == pytest.approx(list(whole)[: len(cut) - 2], abs=1e-6)
    few = list(_frames(data[: int(len(data) * 0.8)], 3).values())
    assert few[0] == 0
    # The middle of what is there, also where FFmpeg cannot decode the last of it.
    assert abs(few[1] - (_packets(data[: int(len(data) * 0.8)]) - 1) / 2) <= 0.5


@pytest.mark.parametrize("kind", ["faststart", "mkv", "webm", "avi"])
def test_too_little_that_is_left(kind: str) -> None:
    data = _noisy(kind)
    text = _refusal(data[: int(len(data) * 0.4)])
    assert "The video is cut off: 1." in text
    assert "of its 4.0 seconds can be read; send a whole copy" in text


@pytest.mark.parametrize("kind", ["mp4", "mov"])
def test_an_index_that_is_missing(kind: str) -> None:
    data = _noisy(kind)
    assert "damaged or cut off" in _refusal(data[: int(len(data) * 0.8)])


@pytest.mark.parametrize("kind", clips.NAMES)
@pytest.mark.parametrize("size", [12, 16, 40])
def test_hardly_anything_is_left(kind: str, size: int) -> None:
    assert _refusal(clips.film(kind)[:size])


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_damaged_place_costs_only_its_surroundings(kind: str) -> None:
    data = bytearray(_noisy(kind))
    middle = len(data) // 2
    data[middle : middle + len(data) // 40] = bytes(len(data) // 40)
    found = {round(time, 3): number for time, number in _frames(bytes(data)).items()}
    for number in (*range(12), *range(30, 40)):
        assert found[number / clips.FPS] == number


def test_an_index_that_leads_astray() -> None:
    data = clips.film(frames=24)
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        line = timeline.read(file, stream)
        wanted = line.spread(5)
        assert len(line.seeks) == 4
        for seeks in (np.full(4, line.stamps[-1]), line.seeks - 10**9):
            wrong = replace(line, seeks=seeks)
            found = list(decoding.frames(file, stream, wrong, wanted))
            assert [stamp for stamp, _ in found] == wanted
            numbers = [clips.number(frame.to_ndarray(format="rgb24")) for _, frame in found]
            assert numbers == [0, 6, 11, 17, 23]


def test_a_frame_that_is_missing_is_replaced_by_its_neighbour() -> None:
    data = clips.film(frames=24)
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        line = timeline.read(file, stream)
        step = int(line.stamps[1] - line.stamps[0])
        more = np.append(line.stamps, line.stamps[-1] + 3 * step)
        asked = [step + step // 4, 2 * step - step // 4, int(more[-1])]
        found = list(decoding.frames(file, stream, replace(line, stamps=more), asked))
    assert [stamp // step for stamp, _ in found] == [1, 2, 23]


# --- no video ----------------------------------------------------------------------------


def _no_frames() -> bytes:
    made = io.BytesIO()
    with av.open(made, "w", format="mp4", options={"movflags": "empty_moov"}) as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        file.start_encoding()
    return made.getvalue()


def _png() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (64, 48)).save(made, "PNG")
    return made.getvalue()


_PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: None, "Choose a video first"),
        (lambda: b"", "file is empty"),
        (lambda: io.BytesIO(b""), "file is empty"),
        (lambda: b"Dear all, this is text.", "not an MP4, MOV, WebM, MKV, AVI or GIF video"),
        (_png, "open a still picture as a picture"),
        (lambda: b"ffconcat version 1.0\nfile /etc/passwd\n", "not an MP4"),
        (lambda: _PLAYLIST, "not an MP4"),  # and what it names is not opened
        (lambda: clips.music(cover=False), "no pictures, only sound"),
        (lambda: clips.music(cover=True), "no pictures, only sound"),
        (_no_frames, "no frame that can be read"),
        (lambda: b"\x00\x00\x00\x18ftypmp42" + bytes(5000), "damaged or cut off"),
        (lambda: b"\x1a\x45\xdf\xa3" + bytes(5000), "damaged or cut off"),
        (lambda: b"RIFF\x00\x00\x00\x00AVI LIST" + bytes(5000), "damaged|no pictures"),
        (lambda: b"GIF89a" + bytes(5000), "damaged|no frame|each side needs"),
    ],
    ids=range(14),
)
def test_what_is_no_video(make: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        open_video(make(), 4)
    if isinstance(data := make(), bytes):
        path = tmp_path / "clip.mp4"
        path.write_bytes(data)
        with pytest.raises(InputError, match=says):
            open_video(path, 4)


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(clips.film())
    path = tmp_path / "list.mp4"
    path.write_text(_PLAYLIST.decode().replace("/etc/passwd", "secret.mp4"))
    assert "not an MP4" in _refusal(path)


def test_paths(tmp_path: Path) -> None:
    assert "no file 'absent.mp4'" in _refusal(tmp_path / "absent.mp4")
    assert "is a folder" in _refusal(tmp_path)
    assert "no file 'x.mp4'" in _refusal("http://127.0.0.1:1/x.mp4")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    data = clips.film()
    with path.open("wb") as file:
        file.write(data)
        file.truncate(opening.MAX_BYTES)
    assert len(open_video(path, 3).frames) == 3
    with path.open("r+b") as file:
        file.truncate(opening.MAX_BYTES + 1)
    assert "larger than 200 MB" in _refusal(path)


def test_frames_that_are_too_large_or_too_small() -> None:
    assert "more than 0.001 million pixels" in _refusal(clips.film(), max_pixels=1000)
    tiny = [np.zeros((8, 8, 3), np.uint8)] * 2
    assert "8 x 8 pixels; each side needs at least 16" in _refusal(clips.film(frames=tiny))
    long = [np.zeros((16, 640, 3), np.uint8)] * 2
    assert "20 times" in _refusal(clips.film(frames=long))


@pytest.mark.parametrize("shown", [0, -1, 257, 10**9])
def test_numbers_of_frames_that_cannot_be(shown: int) -> None:
    assert f"1 to 256 frames, not {shown}" in _refusal(clips.film(), shown)


def test_what_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    width, height = clips.SIZE
    data = clips.film(frames=40, gop=40)
    monkeypatch.setattr(opening, "_MAX_DECODED", 40 * width * height)
    assert len(open_video(data, 2).frames) == 2  # all 40 are decoded for the last
    monkeypatch.setattr(opening, "_MAX_DECODED", 40 * width * height - 1)
    assert "too long; send a shorter or smaller copy" in _refusal(data, 2)
    assert len(open_video(data, 1).frames) == 1
