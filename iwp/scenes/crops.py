"""AnyRes crops of a scene, as the image processor cuts them, and what each patch of them shows.

Also how many visual tokens pictures and clips become.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers.image_processing_utils import select_best_resolution

from iwp.scenes.clip import SIDE, Clip
from iwp.scenes.scene import Box, Scene
from iwp.scenes.vocabulary import CHARACTERS, COLORS, SHAPES

CROP = 196  # pixels on a side
PATCH = 14
GRID = CROP // PATCH
POOLED = -(-GRID // 2)  # cells on a side of a clip's frame
PINPOINTS = [[CROP * rows, CROP * cols] for rows in (1, 2) for cols in (1, 2)]
UNREADABLE = 0.75  # a base crop shrunk below this share of its size shows no legible print
ATTRIBUTES = ("shape", "color", "character", "row", "column", "center")
PLACES = ("y", "x")  # where the object's centre is, in thousandths of the picture
LABELS = len(ATTRIBUTES) + len(PLACES)
# What a cell of a clip's frame is told about the object that it shows: 0 is nothing.
MOTIONS = ("nothing", "still", "up", "down", "left", "right")
ARRIVALS = ("nothing", "seen before", "new", "centre of a new one")
NOTICED = 12  # pixels that an object has gone, at least, where the model is to say so


@dataclass(frozen=True)
class Tiling:
    """How the image processor lays a picture of one size over its crops."""

    rows: int
    cols: int
    height: int
    width: int
    top: int
    left: int


def tiling(size: tuple[int, int]) -> Tiling:
    """Tiling of a (height, width) picture; transformers' own choice of resolution."""
    height, width = size
    full_height, full_width = select_best_resolution((height, width), PINPOINTS)
    scale_x, scale_y = full_width / width, full_height / height
    if scale_x < scale_y:
        new_width, new_height = full_width, min(math.ceil(height * scale_x), full_height)
    else:
        new_height, new_width = full_height, min(math.ceil(width * scale_y), full_width)
    top, left = (full_height - new_height) // 2, (full_width - new_width) // 2
    return Tiling(full_height // CROP, full_width // CROP, new_height, new_width, top, left)


def crops(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(1 + rows * cols, CROP, CROP, 3) uint8: the base crop, then the high-resolution ones."""
    t = tiling(pixels.shape[:2])
    picture, bicubic = Image.fromarray(pixels), Image.Resampling.BICUBIC
    sharp = np.asarray(picture.resize((t.width, t.height), bicubic))
    canvas = np.zeros((t.rows * CROP, t.cols * CROP, 3), np.uint8)
    canvas[t.top : t.top + t.height, t.left : t.left + t.width] = sharp
    base = np.asarray(picture.resize((CROP, CROP), bicubic))
    tiles = canvas.reshape(t.rows, CROP, t.cols, CROP, 3).transpose(0, 2, 1, 3, 4)
    return np.concatenate([base[None], tiles.reshape(-1, CROP, CROP, 3)])


def _cover(
    box: Box, scale: tuple[float, float], offset: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """(rows, cols) share of every patch that the box covers."""
    spans = []
    for axis in (0, 1):
        start = box[axis] * scale[axis] + offset[axis]
        end = start + box[axis + 2] * scale[axis]
        edges = np.arange(shape[axis]) * PATCH
        spans.append((np.minimum(edges + PATCH, end) - np.maximum(edges, start)).clip(0) / PATCH)
    return spans[0][:, None] * spans[1][None]


def patch_labels(scene: Scene) -> NDArray[np.int64]:
    """What each patch shows, as int64 (crops, ATTRIBUTES and PLACES, GRID * GRID).

    0 is nothing, -1 is not asked.
    """
    t = tiling(scene.size)
    views = (
        ((GRID, GRID), (CROP / scene.size[0], CROP / scene.size[1]), (0, 0)),
        (
            (t.rows * GRID, t.cols * GRID),
            (t.height / scene.size[0], t.width / scene.size[1]),
            (t.top, t.left),
        ),
    )
    out = []
    for base, (shape, scale, offset) in zip((True, False), views, strict=True):
        labels = np.zeros((LABELS, *shape), np.int64)
        # Where in the picture an object is: asked in the base crop only.
        labels[3:5], labels[len(ATTRIBUTES) :] = -1, -1
        best, best_glyph = np.full(shape, 0.18), np.full(shape, 0.12)
        for thing in scene.things:
            cover = _cover(thing.box, scale, offset, shape)
            mine = cover > best
            best[mine] = cover[mine]
            labels[0][mine] = 1 + SHAPES.index(thing.shape)
            labels[1][mine] = 1 + list(COLORS).index(thing.color)
            labels[2][mine] = 0
            if base:
                labels[3][mine] = 1 + int(thing.center[0] > 0.5)
                labels[4][mine] = 1 + int(thing.center[1] > 0.5)
                for axis, center in enumerate(thing.center):
                    labels[len(ATTRIBUTES) + axis][mine] = round(1000 * center)
                y, x = (min(int(c * GRID), GRID - 1) for c in thing.center)
                labels[5, y, x] = 1
            for glyph in thing.glyphs:
                cover = _cover(glyph.box, scale, offset, shape)
                mine = cover > best_glyph
                best_glyph[mine] = cover[mine]
                labels[2][mine] = 1 + CHARACTERS.index(glyph.character)
        if base and min(scale) < UNREADABLE:
            labels[2][labels[2] > 0] = -1
        if not base:
            labels[5] = -1
        out.append(labels)
    tiles = out[1].reshape(LABELS, t.rows, GRID, t.cols, GRID).transpose(1, 3, 0, 2, 4)
    stacked = np.concatenate([out[0][None], tiles.reshape(-1, LABELS, GRID, GRID)])
    return stacked.reshape(len(stacked), LABELS, GRID * GRID)


def clip_labels(clip: Clip) -> NDArray[np.int64]:
    """What a token can know from its own and earlier frames: (frames, 2, POOLED * POOLED) int64.

    Numbers of MOTIONS and of ARRIVALS; -1 is not asked.
    """
    labels = np.zeros((len(clip.frames), 2, POOLED, POOLED), np.int64)
    scale = (POOLED * PATCH / SIDE,) * 2
    for k, boxes in enumerate(clip.boxes):
        best = np.full((POOLED, POOLED), 0.18)
        for i, (actor, box) in enumerate(zip(clip.actors, boxes, strict=True)):
            if box is None:
                continue
            cover = _cover(box, scale, (0, 0), best.shape)
            mine = cover > best
            best[mine] = cover[mine]
            before = [b for b in (frame[i] for frame in clip.boxes[:k]) if b is not None]
            gone = max(abs(box[a] - before[0][a]) for a in (0, 1)) if before else 0.0
            known = bool(before) and (actor.way is None or gone >= NOTICED)
            labels[k, 0][mine] = MOTIONS.index(actor.way or "still") if known else -1
            labels[k, 1][mine] = 1 if before else 2
            if not before:
                center = ((box[a] + box[a + 2] / 2) / SIDE for a in (0, 1))
                y, x = (min(int(c * POOLED), POOLED - 1) for c in center)
                labels[k, 1, y, x] = 3
    return labels.reshape(len(labels), 2, -1)


def clip_tokens(frames: int) -> int:
    """How many visual tokens a clip of so many frames becomes."""
    return frames * POOLED**2 + 1


def visual_tokens(size: tuple[int, int]) -> int:
    """How many visual tokens a (height, width) picture becomes."""
    t = tiling(size)
    height, width = size
    rows, cols = t.rows * GRID, t.cols * GRID
    if width / height > t.cols / t.rows:
        rows -= 2 * ((rows - int(round(height * (cols / width), 7))) // 2)
    else:
        cols -= 2 * ((cols - int(round(width * (rows / height), 7))) // 2)
    return GRID * GRID + rows * (cols + 1)
