"""From a video file to `Media`: upright RGB frames with their times, or one clear sentence."""

from __future__ import annotations

import gc
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import av
from av.stream import Disposition
from PIL import Image

from iwp.errors import InputError
from iwp.media import MAX_PIXELS, check_size, open_file, open_picture
from iwp.types import Media, Sampling
from iwp.video import decoding, timeline, upright
from iwp.video.containers import HEAD, demuxer_of

if TYPE_CHECKING:
    from iwp.adapters.base import Adapter
    from iwp.video.timeline import Timeline

VideoSource: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes]"

MAX_BYTES = 200_000_000
MAX_FRAMES = 256
_MAX_SIDE = 1280  # beyond what any model sees of a frame, and still sharp on a screen
_MAX_HELD = 64e6  # pixels of all frames together
_MAX_DECODED = 60e9  # pixels: some minutes of one core
_LEAST_READ = 0.5  # of what a file says it lasts
_BUFFER = 1 << 18
# A decoder's threads hold a frame each, and 8K frames are large.
_THREADS = 4

_NOT_A_VIDEO = (
    "The file is not an MP4, MOV, WebM, MKV, AVI or GIF video; open a still picture as a picture."
)
_DAMAGED = "The video is damaged or cut off; open it elsewhere and save it again."
_NO_PICTURES = "The file has no pictures, only sound or text; choose a video."
_TOO_MUCH = "Reading the video would take too long; send a shorter or smaller copy."


def open_video(
    source: VideoSource | None, shown: Sampling | int, *, max_pixels: int = MAX_PIXELS
) -> Media:
    """Decode some frames of a video, evenly spread over it, with the times at which it shows them.

    MP4, MOV, WebM, MKV, AVI and GIF. Every frame is decoded from the key frame before it; of the
    file only what is being read is in memory, of the frames only those that are shown, no longer
    than 1280 pixels. They are turned as the file says, transparent parts become white. Of a file
    that is cut off, what can be read counts, if that is at least half.

    Args:
        source: a path, the file's bytes, or an open binary file.
        shown: how many frames, or how to count them. A video has fewer where it has not as many,
            or shows one of them for long.
        max_pixels: the largest frame that is accepted, in pixels.

    Returns:
        Frames in the order in which they are shown; times in seconds since the video's first.

    Raises:
        InputError: there is no video, or it cannot be read, or its size is out of bounds.
    """
    if source is None:
        raise InputError("Choose a video first.")
    sampling = Sampling(shown) if isinstance(shown, int) else shown
    if not 1 <= sampling.most <= MAX_FRAMES:
        raise InputError(
            f"A video is shown in 1 to {MAX_FRAMES} frames, not {sampling.most}; choose fewer."
        )
    try:
        with _container(source) as (container, stream):
            return _read(container, stream, sampling, max_pixels)
    except InputError:
        raise
    except Exception as error:  # decoders fail in as many ways as there are file formats
        raise InputError(_DAMAGED) from error
    finally:
        gc.collect(1)  # PyAV's objects stand in a ring, and with them a decoder's frames


def open_media(
    source: VideoSource | Image.Image, adapter: Adapter, *, max_pixels: int = MAX_PIXELS
) -> Media:
    """Decode a picture or a video, whichever the content is, as a model is shown it.

    An animated GIF is a video to families that read videos; to others it is its first frame.

    Args:
        source: as for `iwp.media.open_picture` and `open_video`.
        adapter: the model's family, which says how many frames of a video it is shown.
        max_pixels: the largest picture or frame that is accepted, in pixels.

    Raises:
        InputError: it cannot be read, or its size is out of bounds, or it is a video and this
            family does not read videos.
    """
    if not isinstance(source, Image.Image) and is_video(source, gifs=adapter.reads_clips):
        return open_video(source, adapter.sampling, max_pixels=max_pixels)
    return open_picture(source, max_pixels=max_pixels)


def is_video(source: VideoSource, *, gifs: bool = False) -> bool:
    """Whether a file is a video by its content; an animated GIF only where `gifs` count.

    Raises:
        InputError: there is no such file.
    """
    with _file(source) as file:
        demuxer = demuxer_of(file.read(HEAD))
        file.seek(0)
        if demuxer != "gif":
            return demuxer is not None
        try:
            return gifs and bool(getattr(Image.open(file), "is_animated", False))
        except Exception:  # as many ways as there are broken files: `open_picture` words them
            return False
        finally:
            file.seek(0)


@contextmanager
def _file(source: VideoSource) -> Iterator[IO[bytes]]:
    if isinstance(source, str | os.PathLike):
        with open_file(Path(source)) as file:
            yield file
    else:
        yield io.BytesIO(source) if isinstance(source, bytes) else source


@contextmanager
def _container(source: VideoSource) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and its stream of pictures."""
    with _file(source) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if not size:
            raise InputError("The file is empty; choose a video.")
        if size > MAX_BYTES:
            raise InputError(
                f"The file is larger than {MAX_BYTES // 10**6} MB; send a shorter or smaller copy."
            )
        demuxer = demuxer_of(file.read(HEAD))
        file.seek(0)
        if demuxer is None:
            raise InputError(_NOT_A_VIDEO)
        with av.open(file, format=demuxer, buffer_size=_BUFFER) as container:
            # The cover of a piece of music is a stream of pictures, too.
            streams = [
                stream
                for stream in container.streams.video
                if not stream.disposition & Disposition.attached_pic
            ]
            if not streams:
                raise InputError(_NO_PICTURES)
            yield container, streams[0]


def _read(container: Any, stream: Any, sampling: Sampling, max_pixels: int) -> Media:
    context = stream.codec_context
    if context is None:
        raise InputError("The video's coding is not known here; save it as an MP4 with H.264.")
    size = upright.shown_size(stream)
    check_size(*size, max_pixels, "video's frame")
    context.thread_type, context.thread_count = "AUTO", _THREADS
    context.options = {"max_pixels": str(max_pixels)}  # of frames larger than the file says
    # A frame of a GIF is painted over those before it, whatever the file says.
    line = timeline.read(container, stream, independent=container.format.name != "gif")
    wanted = _chosen(line, sampling)
    if line.decoded(wanted) * size[0] * size[1] > _MAX_DECODED:
        raise InputError(_TOO_MUCH)
    small = upright.reduced(size, _MAX_SIDE, _MAX_HELD / len(wanted))
    found = [
        (line.time(stamp), upright.picture(frame, small))
        for stamp, frame in decoding.frames(container, stream, line, wanted)
    ]
    if not found:
        raise InputError(_DAMAGED)
    times, frames = zip(*found, strict=True)
    return Media(frames, times, "video")


def _chosen(line: Timeline, sampling: Sampling) -> list[int]:
    if not len(line.stamps):
        raise InputError("The video has no frame that can be read; choose another.")
    if line.reached < _LEAST_READ * line.declared:
        raise InputError(
            f"The video is cut off: {line.reached:.1f} of its {line.declared:.1f} seconds can be "
            "read; send a whole copy."
        )
    return line.spread(sampling.count(line.seconds))
