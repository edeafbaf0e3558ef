"""The frames of video files, by seeking, against decoding all of them."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from iwp.types import Media, Sampling
from iwp.video import decoding, open_video, opening
from tests import clips

ROOT = Path(__file__).resolve().parent.parent

every_kind = pytest.mark.parametrize("kind", clips.NAMES)
VFR = [0, 40, 80, 120, 900, 940, 980, 1020, 2500, 2540, 2580, 2620, 2660, 5000, 5400, 5410, 5420]


def _found(data: Any, shown: Sampling | int) -> list[tuple[float, int]]:
    media = open_video(data, shown)
    assert media.kind == "video"
    assert {frame.mode for frame in media.frames} == {"RGB"}
    assert list(media.times) == sorted(set(media.times))
    return [
        (time, clips.number(frame)) for time, frame in zip(media.times, media.frames, strict=True)
    ]


# --- which frames, and when --------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 24, 50])
def test_frames_are_those_that_decoding_all_of_them_gives(kind: str, count: int) -> None:
    data = clips.film(kind)
    everything = clips.all_frames(data)
    assert [number for _, number in everything] == list(range(24))
    expected = clips.nearest(everything, count)
    found = _found(data, count)
    assert [number for _, number in found] == [number for _, number in expected]
    for (time, number), (other, _) in zip(found, expected, strict=True):
        assert time == pytest.approx(other, abs=1e-6)
        assert time == pytest.approx(number / clips.FPS, abs=2e-3)
    assert len(found) == min(count, 24)


def test_films_have_frames_out_of_order() -> None:
    """Or the test above would say little."""
    for kind in ("mp4", "avi"):
        with av.open(io.BytesIO(clips.film(kind))) as file:
            stamps = [packet.pts for packet in file.demux(video=0) if packet.pts is not None]
        assert stamps != sorted(stamps)


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "webm", "gif"])
@pytest.mark.parametrize("count", [2, 5, 9, 17, 40])
def test_a_variable_frame_rate(kind: str, count: int) -> None:
    data = clips.film(kind, len(VFR), stamps=VFR)
    found = _found(data, count)
    expected = clips.nearest(list(zip([t / 1000 for t in VFR], range(99), strict=False)), count)
    assert [number for _, number in found] == [number for _, number in expected]
    for (time, _), (truth, _) in zip(found, expected, strict=True):
        assert time == pytest.approx(truth, abs=2e-3)


@every_kind
def test_one_frame(kind: str) -> None:
    for count in (1, 8):
        assert _found(clips.film(kind, 1), count) == [(0.0, 0)]


def test_a_pace_counts_by_the_second() -> None:
    data = clips.film(frames=24)  # 2.4 seconds
    for pace, n in ((1.0, 2), (2.0, 5), (5.0, 12), (100.0, 24)):
        assert len(_found(data, Sampling(64, pace))) == n
    assert len(_found(data, Sampling(64, 1.0, least=4))) == 4
    assert len(_found(data, Sampling(3, 5.0))) == 3


def test_sound_changes_nothing() -> None:
    for kind in ("mp4", "mkv"):
        assert _found(clips.film(kind, audio=True), 5) == _found(clips.film(kind), 5)


def test_what_an_edit_list_leaves_out_is_not_shown() -> None:
    data = clips.shortened(clips.film(), 4)
    expected = [(pytest.approx(i / clips.FPS), i + 4) for i in range(20)]
    assert _found(data, 99) == expected
    assert _found(data, 2) == [expected[0], expected[-1]]


def test_sources(tmp_path: Path) -> None:
    data = clips.film()
    path = tmp_path / "a clip: ü%20.txt"
    path.write_bytes(data)
    expected = _found(data, 3)
    for source in (path, str(path), io.BytesIO(data)):
        assert _found(source, 3) == expected
    with path.open("rb") as file:
        assert _found(file, 3) == expected


# --- how they look -----------------------------------------------------------------------


def _corners(media: Media) -> list[str]:
    """The colours of the corners: top left, top right, bottom left, bottom right."""
    width, height = media.size
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    places = [(8, 8), (width - 8, 8), (8, height - 8), (width - 8, height - 8)]
    pixels = (media.frames[0].getpixel(place) for place in places)
    return [names[tuple(int(value > 128) for value in pixel)] for pixel in pixels]  # type: ignore[union-attr, index]


@pytest.mark.parametrize(
    ("matrix", "size", "corners"),
    [
        ((1, 0, 0, 1), (64, 48), "red green blue white"),
        ((0, 1, -1, 0), (48, 64), "blue red white green"),  # a quarter to the right
        ((-1, 0, 0, -1), (64, 48), "white blue green red"),
        ((0, -1, 1, 0), (48, 64), "green white red blue"),  # a quarter to the left
        ((-1, 0, 0, 1), (64, 48), "green red white blue"),  # mirrored
        ((1, 0, 0, -1), (64, 48), "blue white red green"),
        ((0, 1, 1, 0), (48, 64), "red blue green white"),  # transposed
        ((0, 0, 0, 0), (64, 48), "red green blue white"),  # says nothing
    ],
)
def test_rotation(matrix: tuple[int, ...], size: tuple[int, int], corners: str) -> None:
    scene = np.zeros((48, 64, 3), np.uint8)
    scene[:24, :32], scene[:24, 32:] = (255, 0, 0), (0, 255, 0)
    scene[24:, :32], scene[24:, 32:] = (0, 0, 255), (255, 255, 255)
    for kind in ("mov", "mp4"):
        media = open_video(clips.turned(clips.film(kind, [scene] * 2), matrix), 1)
        assert media.size == size
        assert _corners(media) == corners.split()


def test_pixels_that_are_not_square() -> None:
    for kind in ("mp4", "mkv"):
        assert open_video(clips.film(kind, shape=Fraction(2, 1)), 1).size == (128, 48)
        assert open_video(clips.film(kind, shape=Fraction(1, 2)), 1).size == (64, 96)
    assert open_video(clips.film(shape=Fraction(40, 1)), 1).size == (64, 48)  # cannot be meant


def test_transparent_parts_are_white() -> None:
    clear = Image.new("RGBA", (40, 20))
    clear.paste((255, 0, 0, 255), (0, 0, 20, 20))
    made = io.BytesIO()
    clear.save(made, "GIF", save_all=True, append_images=[Image.new("RGBA", (40, 20))], disposal=2)
    gif = open_video(made.getvalue(), 1).frames[0]
    made = io.BytesIO()
    with av.open(made, "w", format="mov") as file:
        stream = file.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 40, 20, "rgba"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(clear), format="rgba")))
        file.mux(stream.encode(None))
    for picture in (gif, open_video(made.getvalue(), 1).frames[0]):
        assert [picture.getpixel((x, 10)) for x in (5, 30)] == [(255, 0, 0), (255, 255, 255)]


def test_colours_are_read_as_the_file_says() -> None:
    made = io.BytesIO()
    with av.open(made, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=1, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1  # BT.709
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (200, 30, 60), np.uint8), "rgb24")
        file.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        file.mux(stream.encode(None))
    pixel = open_video(made.getvalue(), 1).frames[0].getpixel((30, 20))
    assert np.abs(np.array(pixel) - (200, 30, 60)).max() <= 4


def test_a_video_that_changes_its_size() -> None:
    large = [np.full((480, 640, 3), clips.grey(i), np.uint8) for i in range(12, 24)]
    parts = [clips.film("webm", 12), clips.film("webm", large)]
    made = io.BytesIO()
    with av.open(made, "w", format="webm") as out:
        for start, part in zip((0, 1200), parts, strict=True):
            with av.open(io.BytesIO(part)) as file:
                if not start:
                    stream = out.add_stream_from_template(file.streams.video[0])
                for packet in file.demux(video=0):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + start, packet.dts + start
                        packet.stream = stream
                        out.mux(packet)
    data = made.getvalue()
    assert [number for _, number in _found(data, 24)] == list(range(24))
    assert {frame.size for frame in open_video(data, 24).frames} == {clips.SIZE}
    # What is larger than it says is not decoded at all.
    few = open_video(data, 24, max_pixels=100_000)
    assert [clips.number(frame) for frame in few.frames] == list(range(12))


# --- how much is read and held -----------------------------------------------------------


class _Watched(io.BytesIO):
    """Remembers the largest piece that was asked for."""

    largest = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.largest = max(self.largest, len(piece))
        return piece


def test_the_file_is_read_in_pieces() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 240, 320, 3), dtype=np.uint8)
    file = _Watched(clips.film(frames=list(noise)))
    assert len(file.getvalue()) > 1_000_000
    open_video(file, 3)
    assert 0 < file.largest <= 300_000


def test_few_frames_are_decoded_for_each_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = decoding._decoded

    def counted(*given: Any) -> Iterator[tuple[int, Any]]:
        for one in original(*given):
            seen.append(one[0])
            yield one

    monkeypatch.setattr(decoding, "_decoded", counted)
    data = clips.film(frames=120, gop=12)
    found = _found(data, 4)
    assert [number for _, number in found] == [0, 0, 39, 39]  # frames 0, 40, 79 and 119
    assert 4 <= len(seen) <= 4 * 12
    seen.clear()
    _found(data, 120)
    assert len(seen) == 120  # none twice


def test_large_frames_are_reduced() -> None:
    wide = [np.full((400, 2560, 3), 90, np.uint8)] * 2
    assert open_video(clips.film(frames=wide), 1).size == (1280, 200)


def test_many_frames_are_reduced_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_MAX_HELD", 10 * 32 * 24)
    assert open_video(clips.film(), 10).size == (32, 24)
    assert open_video(clips.film(), 1).size == clips.SIZE


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_memory_stays_small(tmp_path: Path) -> None:
    """90 frames of full HD are 560 MB as pixels."""
    code = (
        "import re, sys\n"
        "from iwp.video import open_video\n"
        "open_video(sys.argv[2], 2)\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', status())[1]) // 1024\n"
        "before = peak()\n"
        "for _ in range(4): open_video(sys.argv[1], 8)\n"
        "print(peak() - before)"
    )
    frames = [np.full((1080, 1920, 3), clips.grey(i), np.uint8) for i in range(90)]
    paths = [tmp_path / "large", tmp_path / "small"]
    paths[0].write_bytes(clips.film(frames=frames, gop=90))
    paths[1].write_bytes(clips.film())
    command = [sys.executable, "-c", code, *map(str, paths)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 10 < int(ran.stdout) < 180


@pytest.mark.slow
def test_frames_of_8k() -> None:
    frames = (np.full((4320, 7680, 3), clips.grey(i), np.uint8) for i in range(2))
    media = open_video(clips.film(frames=frames), 2)
    assert media.size == (1280, 720)
    assert [clips.number(frame) for frame in media.frames] == [0, 1]
