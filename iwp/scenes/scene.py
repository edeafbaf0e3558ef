"""Procedural scenes: coloured shapes, some with small print, on textured backgrounds.

A scene is drawn on a jittered grid, so objects never overlap. Knows nothing about questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from iwp.scenes.backgrounds import background
from iwp.scenes.vocabulary import CHARACTERS, COLORS, SHAPES

CELL = 49  # side of a grid cell in pixels; objects are 28 to 42 pixels wide
# (height, width) -> how often scenes of this size are drawn.
SIZES: dict[tuple[int, int], float] = {
    (196, 196): 0.30,
    (196, 392): 0.15,
    (392, 196): 0.15,
    (392, 392): 0.22,
    (294, 392): 0.10,
    (392, 294): 0.08,
}
SPARSE = 6  # "how many objects" is asked only of scenes with at most this many
CROWDED = 18

Box = tuple[float, float, float, float]  # top, left, height, width in pixels


@dataclass(frozen=True)
class Glyph:
    """One printed character and where it stands."""

    character: str
    box: Box


@dataclass(frozen=True)
class Thing:
    """One object of a scene; `center` is (y, x) as fractions of the picture."""

    shape: str
    color: str
    box: Box
    center: tuple[float, float]
    glyphs: tuple[Glyph, ...] = ()

    @property
    def text(self) -> str:
        """What is printed on it, the characters apart: "4 7"."""
        return " ".join(g.character for g in self.glyphs)

    @property
    def name(self) -> str:
        """What a question calls it: "red star"."""
        return f"{self.color} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 (height, width, 3), everything that is in it, and what is behind it."""

    pixels: NDArray[np.uint8]
    things: tuple[Thing, ...]
    photograph: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def boxes(self) -> tuple[tuple[Box, ...]]:
        """The objects' boxes, frame by frame: a picture is one."""
        return (tuple(thing.box for thing in self.things),)


def _polygon(shape: str, radius: float, turn: float) -> NDArray[np.float64]:
    if shape == "cross":
        w = 0.36
        arm = np.array([(-w, -1), (w, -1), (w, -w)])
        quarter = np.array([(0, 1), (-1, 0)])
        corners = np.concatenate([arm @ np.linalg.matrix_power(quarter, i) for i in range(4)])
        cos, sin = np.cos(turn), np.sin(turn)
        return np.asarray(corners * radius @ np.array([[cos, sin], [-sin, cos]]))
    if shape == "heart":
        t = np.linspace(0, 2 * np.pi, 40)
        x = 16 * np.sin(t) ** 3
        y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        return np.stack([x, y], 1) * radius / 16.5
    if shape == "square":
        angle, r = np.arange(4) * np.pi / 2 + np.pi / 4 + turn, np.full(4, radius * 1.15)
    elif shape == "diamond":
        angle, r = np.arange(4) * np.pi / 2, np.array([0.72, 1, 0.72, 1]) * radius * 1.12
    elif shape == "triangle":
        angle, r = np.arange(3) * 2 * np.pi / 3 - np.pi / 2 + turn, np.full(3, radius * 1.15)
    elif shape == "star":
        angle = np.arange(10) * np.pi / 5 - np.pi / 2 + turn
        r = np.where(np.arange(10) % 2 == 0, radius * 1.12, radius * 0.5)
    else:
        angle, r = np.linspace(0, 2 * np.pi, 40), np.full(40, radius)
    return np.stack([r * np.cos(angle), r * np.sin(angle)], 1)


@cache
def _stamp(shape: str, size: int, turn: int) -> NDArray[np.float32]:
    """Coverage of the shape in [0, 1], antialiased by 4 x 4 samples a pixel."""
    if shape == "sign":
        return np.ones((int(size * 0.66), int(size * 1.2)), np.float32)
    n = size * 4
    canvas = Image.new("L", (n, n), 0)
    points = _polygon(shape, n / 2 * 0.98, np.deg2rad(turn)) + n / 2
    if shape == "triangle":
        points[:, 1] += n * 0.08
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in points], fill=255)
    shrunk = canvas.resize((size, size), Image.Resampling.BOX)
    return np.asarray(np.asarray(shrunk, np.float32) / 255, np.float32)


@cache
def _letter(character: str, size: int) -> NDArray[np.float32]:
    font = ImageFont.load_default(size=size)
    left, top, right, bottom = font.getbbox(character.upper())
    canvas = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2), 0)
    ImageDraw.Draw(canvas).text((1 - left, 1 - top), character.upper(), fill=255, font=font)
    return np.asarray(np.asarray(canvas, np.float32) / 255 * 1.35, np.float32).clip(max=1)


def _blend(
    canvas: NDArray[np.float32],
    mask: NDArray[np.float32],
    top: int,
    left: int,
    color: NDArray[np.float32],
) -> None:
    region = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    region += mask[..., None] * (color - region)


def _print(
    canvas: NDArray[np.float32],
    shape: str,
    text: str,
    box: tuple[int, int, int, int],
    paint: NDArray[np.float32],
    font: int,
) -> tuple[Glyph, ...]:
    top, left, height, width = box
    ink = np.full(3, 8.0 if paint @ np.array([0.3, 0.59, 0.11]) > 120 else 250.0, np.float32)
    masks = [_letter(c, font) for c in text]
    shift = {"triangle": 0.14, "heart": -0.04}.get(shape, 0.0) * height
    x = left + (width - sum(m.shape[1] for m in masks) - 2 * (len(masks) - 1)) / 2
    glyphs = []
    for character, mask in zip(text, masks, strict=True):
        y0, x0 = round(top + (height - mask.shape[0]) / 2 + shift), round(x)
        y0, x0 = max(y0, 0), max(min(x0, canvas.shape[1] - mask.shape[1]), 0)
        _blend(canvas, mask, y0, x0, ink)
        glyphs.append(Glyph(character, (y0, x0, mask.shape[0], mask.shape[1])))
        x += mask.shape[1] + 2
    return tuple(glyphs)


@dataclass(frozen=True)
class Look:
    """How an object looks, wherever it stands."""

    shape: str
    color: str
    text: str
    side: int
    turn: int
    paint: NDArray[np.float32]

    def painted(self, rng: np.random.Generator) -> Look:
        """The same in a shade of its colour."""
        paint = np.array(COLORS[self.color]) + rng.normal(0, 9, 3)
        return replace(self, paint=paint.astype(np.float32))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = _stamp(self.shape, self.side, self.turn).shape
        return height, width

    def draw(self, canvas: NDArray[np.float32], top: int, left: int) -> Thing:
        """Put it on a float32 (height, width, 3) canvas."""
        mask = _stamp(self.shape, self.side, self.turn)
        h, w = mask.shape
        _blend(canvas, mask, top, left, self.paint)
        narrow = self.shape in ("star", "cross", "triangle", "diamond")
        font = int(np.clip(self.side * (0.46 if narrow else 0.52), 14, 19))
        font = 15 if self.shape == "sign" else font
        box = (top, left, h, w)
        glyphs = _print(canvas, self.shape, self.text, box, self.paint, font) if self.text else ()
        height, width = canvas.shape[:2]
        center = ((top + h / 2) / height, (left + w / 2) / width)
        return Thing(self.shape, self.color, box, center, glyphs)


def random_look(
    rng: np.random.Generator, shapes: Sequence[str], colors: Sequence[str], printed: float
) -> Look:
    """An object of one of these shapes, or a sign, in one of these colours.

    Args:
        rng: the only source of randomness.
        shapes: without the sign.
        colors: names.
        printed: how often it has a character on it.
    """
    shape = "sign" if rng.random() < 0.12 else str(rng.choice(shapes))
    color = str(rng.choice(colors))
    side = int(rng.integers(28, 43)) if shape != "sign" else int(rng.integers(34, 40))
    text = ""
    if shape == "sign":
        text = "".join(str(c) for c in rng.choice(CHARACTERS[:10], 2))
    elif rng.random() < printed:
        text = str(rng.choice(CHARACTERS))
    turn = int(rng.integers(-2, 3)) * 6
    return Look(shape, color, text, side, turn, np.empty(0, np.float32))


def make_scene(rng: np.random.Generator, size: tuple[int, int], dense: bool = False) -> Scene:
    """Draw one scene of 1 to SPARSE or to CROWDED objects.

    Args:
        rng: the only source of randomness.
        size: (height, width) in pixels, each at least CELL.
        dense: fill half of the cells or more, most objects with print: lessons for the tower.
    """
    height, width = size
    rows, cols = height // CELL, width // CELL
    if dense:
        n = int(rng.integers(rows * cols // 2, rows * cols))
    else:
        most = SPARSE if rng.random() < 0.5 else CROWDED
        n = int(rng.integers(1, min(most, rows * cols - 2) + 1))
    printed = 0.85 if dense else 0.6
    picture, photograph = background(rng, height, width)
    canvas = picture.copy()
    colors = rng.permutation(list(COLORS))[: rng.integers(2, 9)].tolist()
    shapes = rng.permutation(SHAPES[:-1])[: rng.integers(2, 8)].tolist()
    things = []
    for cell in sorted(rng.permutation(rows * cols)[:n]):
        row, col = divmod(int(cell), cols)
        look = random_look(rng, shapes, colors, printed)
        h, w = look.size
        top = (height - rows * CELL) // 2 + row * CELL + int(rng.integers(0, CELL - h + 1))
        left = (width - cols * CELL) // 2 + col * CELL + int(rng.integers(0, CELL - w + 1))
        things.append(look.painted(rng).draw(canvas, top, left))
    return Scene(noisy(rng, canvas), tuple(things), photograph)


def noisy(rng: np.random.Generator, canvas: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A finished canvas as a camera would see it."""
    height, width = canvas.shape[:2]
    grain = rng.normal(0, rng.uniform(0, 5), (height, width, 1)).astype(np.float32)
    return (canvas + grain).clip(0, 255).astype(np.uint8)


def random_size(rng: np.random.Generator) -> tuple[int, int]:
    """(height, width) drawn as SIZES says."""
    sizes = list(SIZES)
    return sizes[int(rng.choice(len(sizes), p=np.array(list(SIZES.values()))))]
