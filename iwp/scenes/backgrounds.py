"""Textured backgrounds: procedural ones, and crops of photographs that scikit-image ships."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iwp.errors import InputError

SIDE = 560  # every background is a square of this many pixels; scenes are cropped from it
PROCEDURAL = 96
PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "motorcycle_left.png",
    "rocket.jpg",
)


def _procedural(rng: np.random.Generator) -> NDArray[np.float32]:
    base = rng.uniform(60, 205, 3)
    base = base.mean() * 0.75 + base * 0.25
    k = int(rng.integers(2, 9))
    coarse = (rng.normal(0, 1, (k, k, 1)) * 14 + rng.normal(0, 1, (k, k, 3)) * 7) * rng.uniform(
        0.3, 1.6
    )
    channels = [
        np.asarray(
            Image.fromarray(coarse[..., c].astype(np.float32)).resize(
                (SIDE, SIDE), Image.Resampling.BICUBIC
            )
        )
        for c in range(3)
    ]
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    slope = rng.normal(0, 30, 2)
    picture = base + np.stack(channels, -1) + (slope[0] * y + slope[1] * x)[..., None]
    if rng.random() < 0.4:  # stripes
        period, angle = rng.integers(9, 40), rng.uniform(0, np.pi)
        wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * SIDE / period * 2 * np.pi)
        picture = picture + (wave * rng.uniform(3, 16))[..., None]
    picture = (
        picture
        + rng.normal(0, rng.uniform(1, 9), (SIDE, SIDE, 1))
        + rng.normal(0, 3, (SIDE, SIDE, 3))
    )
    return np.asarray(picture.clip(25, 230), np.float32)


def _photographs() -> list[NDArray[np.float32]]:
    try:
        import skimage
    except ImportError as error:
        raise InputError(
            "Scenes need scikit-image's pictures: pip install scikit-image."
        ) from error
    folder = Path(skimage.__file__).parent / "data"
    pictures = []
    for name in PHOTOGRAPHS:
        photo = Image.open(folder / name).convert("RGB")
        scale = SIDE / min(photo.size)
        photo = photo.resize(
            (max(SIDE, round(photo.width * scale)), max(SIDE, round(photo.height * scale)))
        )
        left, top = (photo.width - SIDE) // 2, (photo.height - SIDE) // 2
        pixels = np.asarray(photo.crop((left, top, left + SIDE, top + SIDE)), np.float32)
        # Compressed contrast: the photograph stays recognisable, yet objects keep their outline.
        pictures.append(120 + (pixels - pixels.mean()) * 0.62)
    return pictures


@lru_cache(maxsize=1)
def _pool() -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    rng = np.random.default_rng(7)
    return [_procedural(rng) for _ in range(PROCEDURAL)], _photographs()


def background(
    rng: np.random.Generator, height: int, width: int
) -> tuple[NDArray[np.float32], bool]:
    """(height, width, 3) float32 in about [0, 255], and whether it is a photograph: about half."""
    photograph = bool(rng.random() < 0.5)
    pool = _pool()[int(photograph)]
    picture = pool[int(rng.integers(len(pool)))]
    top, left = int(rng.integers(0, SIDE - height + 1)), int(rng.integers(0, SIDE - width + 1))
    picture = picture[top : top + height, left : left + width]
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    gain = rng.uniform(0.8, 1.15, 3).astype(np.float32)
    return np.asarray(picture * gain + rng.uniform(-15, 15), np.float32), photograph
