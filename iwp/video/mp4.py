"""Pictures written as an MP4 that every browser plays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import numpy as np
from PIL import Image

_TICK = Fraction(1, 1000)  # seconds
_LONGEST = 1.0  # seconds of a frame on average: hours of a video are not waited for
_ALONE = 1.0  # seconds of an only frame
# A key frame at least every so many frames, so that seeking is quick; no frame out of order.
_CODING = {"preset": "veryfast", "crf": "20", "g": "8", "bf": "0"}
_BT709 = 1  # the colours that a browser expects of a large video, and is told of a small one
_MPEG_RANGE = 1


def write(path: str, pictures: Iterable[Image.Image], times: Sequence[float]) -> None:
    """Write pictures of one size as H.264, each shown at its time.

    Where they are more than a second apart on average, time runs faster: a second each. The last
    one is shown as long as the others on average. Of an odd side the last pixel is left out.

    Args:
        path: the file; replaced if it is there.
        pictures: RGB, taken one after the other.
        times: seconds, ascending, one for each picture.

    Raises:
        OSError: the file cannot be written.
    """
    span = times[-1] - times[0]
    gap = span / (len(times) - 1) if span > 0 else _ALONE
    speed = max(gap / _LONGEST, 1.0)
    shown: list[int] = []
    for time in times:
        stamp = round((time - times[0]) / speed / _TICK)
        shown.append(max(stamp, shown[-1] + 1) if shown else stamp)  # no two at once
    end = shown[-1] + round(gap / speed / _TICK)
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", options=_CODING)
        context = stream.codec_context
        context.time_base, context.pix_fmt = _TICK, "yuv420p"
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _MPEG_RANGE
        frame = None
        for picture, stamp in zip(pictures, shown, strict=True):
            if frame is None:
                context.width, context.height = (side // 2 * 2 for side in picture.size)
            frame = _frame(picture)
            frame.pts, frame.time_base = stamp, _TICK
            container.mux(stream.encode(frame))
        assert frame is not None, "there is a picture"
        # Once more for a tick: players end at the last frame's beginning.
        frame.pts = max(end - 1, shown[-1] + 1)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _frame(picture: Image.Image) -> av.VideoFrame:
    pixels = np.asarray(picture)
    even = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
