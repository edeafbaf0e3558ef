"""A video file that every test may read."""

from __future__ import annotations

import av
import numpy as np
import pytest

SHADES = tuple(range(20, 240, 20))  # of the frames, one after another
RATE = 5  # frames a second


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Eleven grey frames of 64 x 48 pixels, each of its own shade."""
    path = str(tmp_path_factory.mktemp("videos") / "grey.mp4")
    with av.open(path, "w") as file:
        stream = file.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in SHADES:
            pixels = np.full((48, 64, 3), shade, dtype=np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))
    return path
