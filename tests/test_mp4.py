"""Pictures as an MP4: what a browser needs, when each is shown, and its colours."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from iwp.video import mp4, open_video
from tests import clips

SIZE = (96, 64)


def _pictures(n: int, size: tuple[int, int] = SIZE) -> list[Image.Image]:
    return [Image.fromarray(pixels) for pixels in clips.painted(n, size)]


def _shown(path: Path) -> list[tuple[float, int]]:
    """Seconds and number of every frame; a number that comes again is the last one's end."""
    frames = clips.all_frames(path.read_bytes())
    assert [number for _, number in frames] == [*range(len(frames) - 1), len(frames) - 2]
    return frames


def test_browsers_play_it(tmp_path: Path) -> None:
    path = tmp_path / "kept.mp4"
    mp4.write(str(path), _pictures(5), [0.0, 0.5, 0.75, 2.0, 2.5])
    data = path.read_bytes()
    assert data[4:8] == b"ftyp"
    assert 0 < data.find(b"moov") < data.find(b"mdat")  # plays before it has been loaded whole
    with av.open(str(path)) as file:
        assert [stream.type for stream in file.streams] == ["video"]
        context = file.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.width, context.height) == SIZE
        assert sum(packet.is_keyframe for packet in file.demux(video=0)) == 1


def test_frames_are_shown_at_their_times(tmp_path: Path) -> None:
    path = tmp_path / "kept.mp4"
    times = [10.0, 10.5, 10.75, 12.0, 12.4]  # 0.6 seconds apart on average
    mp4.write(str(path), _pictures(5), times)
    shown = _shown(path)
    assert [time for time, _ in shown[:-1]] == pytest.approx([0.0, 0.5, 0.75, 2.0, 2.4], abs=2e-3)
    assert shown[-1][0] == pytest.approx(3.0, abs=5e-3)


def test_an_hour_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "kept.mp4"
    mp4.write(str(path), _pictures(5), [0.0, 600.0, 1800.0, 2700.0, 3600.0])
    times = [time for time, _ in _shown(path)]
    assert times == pytest.approx([0.0, 600 / 900, 2.0, 3.0, 4.0, 5.0], abs=5e-3)


def test_no_two_frames_are_shown_at_once(tmp_path: Path) -> None:
    path = tmp_path / "kept.mp4"
    mp4.write(str(path), _pictures(4), [0.0, 0.0001, 0.0002, 0.5])
    times = [time for time, _ in _shown(path)[:4]]
    assert times == pytest.approx([0.0, 0.001, 0.002, 0.5], abs=1e-4)


def test_one_picture_is_shown_for_a_second(tmp_path: Path) -> None:
    path = tmp_path / "kept.mp4"
    mp4.write(str(path), _pictures(1), [7.0])
    assert _shown(path)[-1][0] == pytest.approx(1.0, abs=5e-3)


@pytest.mark.parametrize("size", [(97, 64), (96, 65), (97, 65)])
def test_odd_sizes_lose_a_pixel(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "kept.mp4"
    mp4.write(str(path), _pictures(3, size), [0.0, 1.0, 2.0])
    assert open_video(path, 3).size == SIZE


def test_colours_stay(tmp_path: Path) -> None:
    path = tmp_path / "kept.mp4"
    colours = [(200, 30, 60), (255, 213, 74), (10, 12, 20), (86, 180, 233), (255, 255, 255)]
    mp4.write(
        str(path), [Image.new("RGB", SIZE, colour) for colour in colours], [0.0, 1.0, 2.0, 3.0, 4.0]
    )
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        # BT.709 in the range of television, and said so: players would guess otherwise.
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
        assert context.color_range == 1
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    for frame, colour in zip(frames, colours, strict=False):
        assert np.abs(frame[30, 40].astype(int) - colour).max() <= 5


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        mp4.write(str(tmp_path / "no" / "kept.mp4"), _pictures(2), [0.0, 1.0])
