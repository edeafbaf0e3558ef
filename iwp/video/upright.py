"""A decoded frame as an upright RGB picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iwp.media import on_white

_SQUEEZE = 4  # pixels are at most so many times as long as wide; files that say more are wrong
_SQUARE = np.eye(2, dtype=np.int32)


def shown_size(stream: Any) -> tuple[int, int]:
    """(width, height) in pixels that a player shows before turning: with square pixels."""
    shape = stream.sample_aspect_ratio or 1
    if not 1 / _SQUEEZE <= shape <= _SQUEEZE:
        shape = 1
    width, height = stream.codec_context.width, stream.codec_context.height
    return (round(width * shape), height) if shape > 1 else (width, round(height / shape))


def reduced(size: tuple[int, int], side: int, pixels: float) -> tuple[int, int]:
    """The size with neither a side longer than `side` nor more than `pixels` pixels."""
    width, height = size
    scale = min(1.0, side / max(size), math.sqrt(pixels / (width * height)))
    return max(1, round(width * scale)), max(1, round(height * scale))


def picture(frame: Any, size: tuple[int, int]) -> Image.Image:
    """The frame at this size, in pixels before turning, turned as the file says."""
    clear = any(component.is_alpha for component in frame.format.components)
    # Scaled before it becomes RGB: a large frame is never held as RGB.
    small = frame.reformat(*size, format="rgba" if clear else "rgb24", interpolation="BICUBIC")
    pixels = _turned(small.to_ndarray(), _turn(frame))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return on_white(image) if clear else image


def _turn(frame: Any) -> NDArray[np.int32]:
    """(2, 2) the display matrix: a point (x, y) of the frame is shown at (x, y) @ matrix."""
    told = frame.side_data.get("DISPLAYMATRIX")
    if told is None:
        return _SQUARE
    matrix = np.frombuffer(bytes(told), dtype=np.int32)[:9].reshape(3, 3)[:2, :2]
    return matrix if matrix.any() else _SQUARE


def _turned(pixels: NDArray[np.uint8], turn: NDArray[np.int32]) -> NDArray[np.uint8]:
    """(height, width, channels) turned by the nearest quarter, mirrored where the matrix does."""
    (a, b), (c, d) = turn.astype(np.int64).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, right, down = pixels.swapaxes(0, 1), c, b
    else:
        right, down = a, d
    return pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]
