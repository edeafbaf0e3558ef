"""Pictures of every kind become upright RGB, or one sentence."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageFile, features

from iwp.errors import InputError
from iwp.media import MAX_SIDE, open_picture


def _scene(mode: str = "RGB") -> Image.Image:
    """40 x 20: left half red, right half blue."""
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (20, 0, 40, 20))
    return image.convert(mode)


def _bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _decoded(source: object) -> np.ndarray:
    media = open_picture(source)
    assert media.kind == "image"
    assert media.times == (0.0,)
    assert len(media.frames) == 1
    assert media.frames[0].mode == "RGB"
    assert media.frames[0].info == {}
    return np.asarray(media.frames[0]).astype(int)


def _is_scene(pixels: np.ndarray, tolerance: int = 12) -> bool:
    expected = np.asarray(_scene()).astype(int)
    away_from_the_edge = np.r_[0:16, 24:40]
    return (
        pixels.shape == expected.shape
        and np.abs(pixels - expected)[:, away_from_the_edge].max() <= tolerance
    )


def _refusal(source: object, **options: int) -> str:
    with pytest.raises(InputError) as caught:
        open_picture(source, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert "/" not in text
    return text


# --- what is accepted ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_formats(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    if kind == "HEIF":
        buffer = io.BytesIO()
        pillow_heif.from_pillow(_scene()).save(buffer, quality=95)
        data = buffer.getvalue()
    else:
        data = _bytes(_scene(), kind, **({"quality": 95} if kind in ("JPEG", "AVIF") else {}))
    assert _is_scene(_decoded(data))


def test_sources(tmp_path: Path) -> None:
    file = tmp_path / "scene.png"
    _scene().save(file)
    for source in (file, str(file), file.read_bytes(), io.BytesIO(file.read_bytes()), _scene()):
        assert _is_scene(_decoded(source), tolerance=0)
    with file.open("rb") as opened:
        assert _is_scene(_decoded(opened), tolerance=0)


@pytest.mark.parametrize("mode", ["P", "CMYK", "RGBA", "YCbCr", "HSV"])
def test_colour_modes(mode: str) -> None:
    assert _is_scene(_decoded(_scene(mode)))


def test_files_in_other_colour_modes() -> None:
    assert _is_scene(_decoded(_bytes(_scene("CMYK"), "JPEG", quality=95)))
    assert _is_scene(_decoded(_bytes(_scene("CMYK"), "TIFF")))
    assert _is_scene(_decoded(_bytes(_scene("P"), "PNG")))


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_modes(mode: str) -> None:
    pixels = _decoded(Image.linear_gradient("L").convert(mode))
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert (pixels.min(), pixels.max()) == (0, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str) -> None:
    values = np.tile(np.array([0, 257, 32896, 65535], dtype=np.uint16), (20, 5))
    pixels = _decoded(_bytes(Image.fromarray(values), kind))
    assert pixels[0, :4, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.float32([0.0, 0.5, 1.0, np.nan]), [0, 128, 255, 0]),
        (np.float32([-3.0, 128.0, 255.0, np.inf]), [0, 128, 255, 0]),
        (np.int32([0, 64, 128, 255]), [0, 64, 128, 255]),
        (np.int32([0, 257, 32896, 65535]), [0, 1, 128, 255]),
        (np.int32([0, 0, 1_000_000, 2_000_000]), [0, 0, 128, 255]),
        (np.float32([0.0, 0.0, 0.0, 0.0]), [0, 0, 0, 0]),
    ],
)
def test_other_deep_pixels(values: np.ndarray, expected: list[int]) -> None:
    assert _decoded(Image.fromarray(np.tile(values, (16, 4))))[0, :4, 0].tolist() == expected


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_on_white(kind: str) -> None:
    image = _scene("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 20, 20))
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = _decoded(_bytes(image, kind, **options))
    assert (pixels[:, :20] == 255).all()
    assert (pixels[:, 20:] == (0, 0, 255)).all()


@pytest.mark.parametrize("mode", ["P", "L", "LA"])
def test_transparency_of_a_palette_or_of_one_grey(mode: str) -> None:
    image = Image.new("L", (20, 20), 0)
    image.paste(200, (10, 0, 20, 20))
    if mode == "LA":
        image.putalpha(image.point(lambda grey: 255 if grey else 0))
        data = _bytes(image, "PNG")
    else:
        data = _bytes(image.convert(mode), "PNG", transparency=0)
    pixels = _decoded(data)
    assert (pixels[:, :10] == 255).all()
    assert (pixels[:, 10:] == 200).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = _scene().transpose(undo[orientation]) if orientation > 1 else _scene()
    for kind in ("JPEG", "PNG", "WEBP"):
        assert _is_scene(_decoded(_bytes(image, kind, exif=exif, quality=95)))


def test_a_turned_heic_is_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    turned = _scene().transpose(Image.Transpose.ROTATE_90)
    pillow_heif.from_pillow(turned).save(buffer, quality=95, exif=exif.tobytes())
    assert _is_scene(_decoded(buffer.getvalue()))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    later = [Image.new("RGB", (40, 20), "green")] * 2
    data = _bytes(_scene(), kind, save_all=True, append_images=later, duration=50)
    assert _is_scene(_decoded(data))


def test_long_pictures_are_reduced() -> None:
    assert _decoded(Image.new("RGB", (8192, 1000))).shape == (500, MAX_SIDE, 3)
    assert _decoded(Image.new("RGB", (MAX_SIDE, 1000))).shape == (1000, MAX_SIDE, 3)


def test_a_pil_image_is_left_as_it_was() -> None:
    image = _scene()
    image.info["dpi"] = (72, 72)
    made = open_picture(image).frames[0]
    made.paste("white", (0, 0, 40, 20))
    assert _is_scene(np.asarray(image).astype(int), tolerance=0)
    assert image.info == {"dpi": (72, 72)}


# --- what is refused -------------------------------------------------------------------


def _png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(20_000, 20_000), (10_000, 10_000), (6_400, 6_400)])
def test_too_many_pixels_are_refused_from_the_header(size: tuple[int, int]) -> None:
    assert "more than 40 million pixels" in _refusal(_png_header(*size))
    assert "more than 0.0001 million" in _refusal(_bytes(_scene(), "PNG"), max_pixels=100)


def test_a_large_heic_is_refused_before_it_is_decoded() -> None:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(_scene().resize((400, 200))).save(buffer)
    assert "more than 0.01 million" in _refusal(buffer.getvalue(), max_pixels=10_000)


@pytest.mark.parametrize("size", [(1, 1), (15, 100), (100, 15), (0, 0)])
def test_too_small(size: tuple[int, int]) -> None:
    text = _refusal(Image.new("RGB", size))
    assert f"{size[0]} x {size[1]} pixels; each side needs at least 16" in text


@pytest.mark.parametrize("size", [(600, 20), (20, 600), (401, 20)])
def test_too_long(size: tuple[int, int]) -> None:
    assert "one side may be at most 20 times as long" in _refusal(Image.new("RGB", size))
    assert _decoded(Image.new("RGB", (400, 20))).shape == (20, 400, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = _bytes(Image.fromarray(noise), kind)
    text = _refusal(data[: int(len(data) * share)])
    assert "damaged or cut off" in text or "not a JPEG" in text


def _truncated_heif() -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(_scene().resize((200, 200))).save(buffer)
    return buffer.getvalue()[:-50]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: None, "Choose a picture first"),
        (lambda: b"", "file is empty"),
        (lambda: io.BytesIO(b""), "file is empty"),
        (lambda: b"Dear all, this is text.", "not a JPEG"),
        (lambda: b"%PDF-1.7 ...", "not a JPEG"),
        (lambda: b"\x00\x00\x00\x18ftypheic", "not a JPEG|damaged"),
        (lambda: b"\x00\x00\x00\x18ftypmp42" + bytes(50), "not a JPEG"),
        (lambda: b"\xff\xd8\xff", "not a JPEG"),
        (lambda: b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG drawings"),
        (_truncated_heif, "damaged"),
    ],
    ids=range(10),
)
def test_what_is_not_a_picture(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        open_picture(make())


def test_paths(tmp_path: Path) -> None:
    assert "no file 'absent.png'" in _refusal(tmp_path / "absent.png")
    assert "is a folder" in _refusal(tmp_path)
    assert "cannot be opened" in _refusal(str(tmp_path / ("x" * 5000)))
    assert _refusal("nul\x00byte.png")
    (tmp_path / "empty.jpg").touch()
    assert "is empty" in _refusal(str(tmp_path / "empty.jpg"))


def test_pil_is_left_as_it_was() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    _decoded(_bytes(_scene(), "PNG"))
    _refusal(b"no picture")
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert "HEIF" not in Image.OPEN
