"""Small real video files whose frames carry their own numbers."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from PIL import Image

FPS = 10
SIZE = (64, 48)
GOP = 6
_TICK = Fraction(1, 1000)
_X264 = ("libx264", {"preset": "ultrafast", "bf": "2", "sc_threshold": "0", "crf": "8"})
_VP9 = ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"})
# name -> container, (codec, its options), options of the container
KINDS: dict[str, tuple[str, tuple[str, dict[str, str]], dict[str, str]]] = {
    "mp4": ("mp4", _X264, {}),
    "faststart": ("mp4", _X264, {"movflags": "+faststart"}),
    "fragments": ("mp4", _X264, {"movflags": "frag_keyframe+empty_moov"}),
    "mov": ("mov", _X264, {}),
    "mkv": ("matroska", _X264, {}),
    "webm": ("webm", _VP9, {}),
    "avi": ("avi", ("mpeg4", {"bf": "2", "b": "9000000", "sc_threshold": "1000000000"}), {}),
}
NAMES = [*KINDS, "gif"]


def grey(number: int) -> int:
    """The level that frame `number` is painted with; 40 frames are told apart."""
    return 20 + 5 * (number % 40)


def number(picture: Any) -> int:
    """The number of a painted frame, modulo 40."""
    return round((float(np.asarray(picture)[20:28, 20:28].mean()) - 20) / 5)


def painted(n: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Frames of one grey each, (height, width, 3)."""
    return [np.full((size[1], size[0], 3), grey(i), np.uint8) for i in range(n)]


def film(
    kind: str = "mp4",
    frames: int | Iterable[np.ndarray] = 24,
    *,
    stamps: Sequence[int] | None = None,
    gop: int = GOP,
    audio: bool = False,
    shape: Fraction | None = None,
) -> bytes:
    """A video file.

    Args:
        kind: a name from `NAMES`.
        frames: what it shows, or how many painted frames.
        stamps: milliseconds at which they are shown, instead of `FPS` a second.
        gop: frames from key frame to key frame.
        audio: whether it has a track of silence.
        shape: width of a pixel for its height, if not 1.
    """
    shown = painted(frames) if isinstance(frames, int) else list(frames)
    times = [i * 1000 // FPS for i in range(len(shown))] if stamps is None else stamps
    if kind == "gif":
        return _gif(shown, times)
    form, (codec, options), settings = KINDS[kind]
    # On the disk: the muxer opens the file again to put the index first.
    with (
        tempfile.NamedTemporaryFile() as made,
        av.open(made.name, "w", format=form, options=settings) as file,
    ):
        stream = file.add_stream(codec, rate=FPS, options={**options, "g": str(gop)})
        stream.height, stream.width = shown[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _TICK if stamps is not None else Fraction(1, FPS)
        if shape is not None:
            stream.codec_context.sample_aspect_ratio = shape
        if audio:
            silence(file, len(shown) / FPS)
        for i, (pixels, time) in enumerate(zip(shown, times, strict=True)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = i if stamps is None else time
            frame.time_base = stream.codec_context.time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        file.close()
        return Path(made.name).read_bytes()


def silence(file: Any, seconds: float) -> None:
    """Add a track of sound without any."""
    sound = file.add_stream("aac", rate=8000)
    sound.layout = "mono"
    for start in range(0, int(seconds * 8000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 8000, start
        file.mux(sound.encode(frame))
    file.mux(sound.encode(None))


def music(*, cover: bool) -> bytes:
    """A file of sound only, with or without a picture on its sleeve."""
    made = io.BytesIO()
    with av.open(made, "w", format="mp4") as file:
        if cover:
            sleeve = file.add_stream("mjpeg", rate=1, options={"strict": "unofficial"})
            sleeve.width, sleeve.height, sleeve.pix_fmt = 64, 48, "yuvj420p"
            sleeve.disposition = Disposition.attached_pic
        silence(file, 1.0)
        if cover:
            file.mux(sleeve.encode(av.VideoFrame.from_ndarray(painted(1)[0], format="rgb24")))
            file.mux(sleeve.encode(None))
    return made.getvalue()


def all_frames(data: bytes) -> list[tuple[float, int]]:
    """Seconds since the first frame and the number of every frame: all is decoded."""
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        found = [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in file.decode(stream)]
        unit = stream.time_base
    return [(float((stamp - found[0][0]) * unit), number(pixels)) for stamp, pixels in found]


def nearest(frames: Sequence[tuple[float, int]], count: int) -> list[tuple[float, int]]:
    """The frames nearest to `count` moments, one after the other and by hand."""
    last = frames[-1][0]
    moments = [last * i / (count - 1) for i in range(count)] if count > 1 else [0.0]
    found = []
    for moment in moments:
        best = min(frames, key=lambda frame: (round(abs(frame[0] - moment), 9), frame[0]))
        if best not in found:
            found.append(best)
    return found


def turned(data: bytes, matrix: Sequence[int]) -> bytes:
    """A copy of an MP4 or MOV with another display matrix: a, b, c and d of its track."""
    place = data.index(b"tkhd") + 44
    a, b, c, d = (value * 65536 for value in matrix)
    whole = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], dtype=">i4").tobytes()
    return data[:place] + whole + data[place + 36 :]


def shortened(data: bytes, frames: int) -> bytes:
    """A copy of an MP4 or MOV whose edit list leaves out its first frames."""
    place = data.index(b"elst") + 16
    start = int.from_bytes(data[place : place + 4], "big")
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        start += round(frames / FPS / stream.time_base)
    return data[:place] + start.to_bytes(4, "big") + data[place + 4 :]


def _gif(shown: list[np.ndarray], times: Sequence[int]) -> bytes:
    pictures = [Image.fromarray(pixels) for pixels in shown]
    gaps = np.diff([*times, times[-1] + 1000 // FPS]).tolist()
    made = io.BytesIO()
    # Told apart by a pixel, or Pillow would put equal frames together.
    pictures[0].save(made, "GIF", save_all=True, append_images=pictures[1:], duration=gaps)
    return made.getvalue()


def drawn(seed: int, n: int = 13) -> list[np.ndarray]:
    """Frames on which a square goes to the right."""
    colour = np.random.default_rng(seed).integers(0, 256, 3)
    frames = []
    for i in range(n):
        frame = np.full((96, 160, 3), 210, np.uint8)
        frame[30:60, 8 * i : 8 * i + 30] = colour
        frames.append(frame)
    return frames
