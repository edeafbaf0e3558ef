"""From a file, an upload or a PIL image to `Media`: upright RGB pixels, or one clear sentence.

Limits are checked against the file's header, before anything is decoded.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from iwp.errors import InputError
from iwp.types import Media

Source: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | Image.Image"

MAX_BYTES = 256_000_000
MAX_PIXELS = 40_000_000
MIN_SIDE = 16
MAX_ASPECT = 20
MAX_SIDE = 4096  # beyond what any model sees, and still sharp on a screen

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_NOT_A_PICTURE = "The file is not a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC picture."
_DAMAGED = "The picture is damaged or cut off; open it elsewhere and save it again."


def open_picture(source: Source | None, *, max_pixels: int = MAX_PIXELS) -> Media:
    """Decode a still picture; of an animated one, the first frame.

    It is turned upright as its EXIF data say, transparent parts become white, 16-bit and other
    deep pixels are scaled to 8 bits, and a picture longer than `MAX_SIDE` is reduced to that.

    Args:
        source: a path, the file's bytes, an open binary file, or a PIL image (left as it is).
        max_pixels: the largest picture that is accepted, in pixels.

    Raises:
        InputError: there is no picture, or it cannot be read, or its size is out of bounds.
    """
    if source is None:
        raise InputError("Choose a picture first.")
    try:
        image = source if isinstance(source, Image.Image) else _open(_read(source), max_pixels)
        check_size(*image.size, max_pixels)
        return Media((_upright_rgb(image),))
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(_too_large(max_pixels)) from None
    except UnidentifiedImageError:
        raise InputError(_NOT_A_PICTURE) from None
    except Exception as error:  # decoders fail in as many ways as there are file formats
        raise InputError(_DAMAGED) from error


def _read(source: str | os.PathLike[str] | bytes | IO[bytes]) -> bytes:
    if isinstance(source, str | os.PathLike):
        data = _read_path(Path(source))
    else:
        data = source if isinstance(source, bytes) else source.read(MAX_BYTES + 1)
    if not data:
        raise InputError("The file is empty; choose a picture.")
    if len(data) > MAX_BYTES:
        raise InputError(f"The file is larger than {MAX_BYTES // 10**6} MB; send a smaller copy.")
    return data


def _read_path(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read(MAX_BYTES + 1)


def open_file(path: Path) -> IO[bytes]:
    """A person's file, opened for reading.

    Raises:
        InputError: there is no such file, or it cannot be opened.
    """
    name = path.name[:80]
    try:
        if not path.is_dir():
            return path.open("rb")
    except FileNotFoundError:
        raise InputError(f"There is no file {name!r}; check the path.") from None
    except (OSError, ValueError):  # also where the name is none
        raise InputError(f"The file {name!r} cannot be opened; check its rights.") from None
    raise InputError(f"{name!r} is a folder; choose a file.")


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header; the pixels stay undecoded."""
    if b"<svg" in data[:4096].lower():
        raise InputError("SVG drawings cannot be read; save it as PNG.")
    formats = (*_FORMATS, "AVIF") if features.check("avif") else _FORMATS
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        return _open_heif(data, max_pixels)


def _open_heif(data: bytes, max_pixels: int) -> Image.Image:
    # HEIC is read through its own library and not as a plugin, which would change PIL for all.
    try:
        import pillow_heif
    except ImportError:
        raise UnidentifiedImageError from None
    if not pillow_heif.is_supported(data[:32]):
        raise UnidentifiedImageError
    heif = pillow_heif.open_heif(io.BytesIO(data))
    width, height = heif.size
    check_size(width, height, max_pixels)  # decoded on the next line
    image: Image.Image = heif.to_pillow()
    return image


def check_size(width: int, height: int, max_pixels: int, what: str = "picture") -> None:
    """Refuse what no model can look at. Sizes in pixels; `what` names it for people.

    Raises:
        InputError: it is too large, too small or too long.
    """
    if width * height > max_pixels:
        raise InputError(_too_large(max_pixels, what))
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"The {what} is {width} x {height} pixels; each side needs at least {MIN_SIDE}."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(
            f"The {what} is {width} x {height} pixels; one side may be at most {MAX_ASPECT} times "
            "as long as the other. Cut out the part you ask about."
        )


def _too_large(max_pixels: int, what: str = "picture") -> str:
    return f"The {what} has more than {max_pixels / 1e6:g} million pixels; send a smaller copy."


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    turned = ImageOps.exif_transpose(image)
    if turned.mode == "F" or turned.mode.startswith("I"):
        rgb = Image.fromarray(_eight_bits(np.asarray(turned), turned.mode)).convert("RGB")
    elif turned.has_transparency_data:
        rgb = on_white(turned)
    else:
        rgb = turned.convert("RGB")
    if max(rgb.size) > MAX_SIDE:
        rgb.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    rgb.info = {}  # colour profiles and camera data belong to the file, not to its pixels
    return rgb


def on_white(image: Image.Image) -> Image.Image:
    """The picture as RGB, white where it is transparent."""
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _eight_bits(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Scale deep grey pixels (H, W) so that the brightest value of their range becomes 255."""
    values = np.nan_to_num(pixels.astype(np.float64), posinf=0.0, neginf=0.0)
    peak = values.max(initial=0.0)
    ranges = (65535.0,) if mode.startswith("I;16") else (255.0, 65535.0, float(peak))
    if mode == "F":
        ranges = (1.0, *ranges)
    top = next(limit for limit in ranges if peak <= limit)
    return np.rint(values.clip(0, top) * (255.0 / top)).astype(np.uint8)
