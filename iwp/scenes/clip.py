"""Procedural clips: a scene in which objects move or appear. Knows nothing about questions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iwp.scenes.backgrounds import background
from iwp.scenes.scene import CELL, Box, Look, Scene, Thing, noisy, random_look
from iwp.scenes.vocabulary import COLORS, SHAPES

SIDE = 196  # pixels; a frame is one crop of the model
LANES = SIDE // CELL
TRAVEL = 70  # pixels that a moving object goes at least
SECONDS = 4.0  # how long a clip takes
GAP = 0.14  # of the clip, between two appearances: in eight frames they are never one
_WAYS = (("up", "down"), ("left", "right"))


@dataclass(frozen=True)
class Actor:
    """One object of a clip.

    Attributes:
        look: what it looks like.
        start: (top, left) pixels in the first frame.
        end: the same in the last one.
        since: when it appears, as a fraction of the clip; 0 is there from the start.
    """

    look: Look
    start: tuple[float, float]
    end: tuple[float, float]
    since: float = 0.0

    @property
    def name(self) -> str:
        """What a question calls it: "red star"."""
        return f"{self.look.color} {self.look.shape}"

    @property
    def way(self) -> str | None:
        """Where it goes: "left", "right", "up" or "down"; None where it stays."""
        for axis in (0, 1):
            gone = self.end[axis] - self.start[axis]
            if gone:
                return _WAYS[axis][int(gone > 0)]
        return None


@dataclass(frozen=True)
class Clip:
    """Frames, uint8 (frames, SIDE, SIDE, 3), and everything that is in them.

    Attributes:
        frames: the pixels.
        actors: the objects.
        boxes: by frame and actor, (top, left, height, width) in pixels; None where it is not there.
        photograph: whether a photograph is behind them.
    """

    frames: NDArray[np.uint8]
    actors: tuple[Actor, ...]
    boxes: tuple[tuple[Box | None, ...], ...]
    photograph: bool = False

    @property
    def times(self) -> tuple[float, ...]:
        """Seconds at which the frames were taken."""
        return tuple(SECONDS * (i + 0.5) / len(self.frames) for i in range(len(self.frames)))

    @property
    def scene(self) -> Scene:
        """All objects at once, wherever: for questions that ask neither when nor where."""
        nowhere = (0.0, 0.0, 0.0, 0.0)
        things = tuple(Thing(a.look.shape, a.look.color, nowhere, (0.5, 0.5)) for a in self.actors)
        return Scene(self.frames[-1], things, self.photograph)


def _actors(rng: np.random.Generator) -> list[Actor]:
    """One to six objects: each that moves has a lane of its own, the others a cell each."""
    colors = rng.permutation(list(COLORS))[: rng.integers(3, 9)].tolist()
    shapes = rng.permutation(SHAPES[:-1])[: rng.integers(3, 8)].tolist()
    movers = int(rng.choice(4, p=(0.15, 0.45, 0.25, 0.15)))
    late = int(rng.choice(4, p=(0.2, 0.3, 0.3, 0.2)))
    still = int(rng.integers(0 if movers + late else 1, 4))
    lanes, axis = [int(lane) for lane in rng.permutation(LANES)], int(rng.integers(2))
    moments = np.sort(rng.uniform(0.12, 0.88 - GAP * max(0, late - 1), late))
    moments = rng.permutation(moments + GAP * np.arange(late))
    actors = []
    for lane in lanes[:movers]:
        look = random_look(rng, shapes, colors, 0.4).painted(rng)
        across = lane * CELL + int(rng.integers(0, CELL - look.size[1 - axis] + 1))
        room = SIDE - look.size[axis]
        start = float(rng.uniform(0, room))
        ends = [e for e in rng.uniform(0, room, 8) if abs(e - start) >= TRAVEL]
        end = float(ends[0]) if ends else (0.0 if start > room / 2 else float(room))
        places = [(start, across), (end, across)] if axis == 0 else [(across, start), (across, end)]
        actors.append(Actor(look, places[0], places[1]))
    cells = [(lane, i) for lane in lanes[movers:] for i in range(LANES)]
    order = rng.permutation(len(cells))
    for i in range(min(still + late, len(cells))):
        lane, along = cells[int(order[i])]
        col, row = (lane, along) if axis == 0 else (along, lane)
        look = random_look(rng, shapes, colors, 0.4).painted(rng)
        spare = [CELL - length for length in look.size]
        at = (
            float(row * CELL + rng.integers(0, spare[0] + 1)),
            float(col * CELL + rng.integers(0, spare[1] + 1)),
        )
        actors.append(Actor(look, at, at, float(moments[i]) if i < late else 0.0))
    return [actors[int(i)] for i in rng.permutation(len(actors))]


def make_clip(rng: np.random.Generator, n_frames: int) -> Clip:
    """Draw a clip at n_frames evenly spread moments."""
    picture, photograph = background(rng, SIDE, SIDE)
    actors = _actors(rng)
    frames, boxes = [], []
    for moment in (np.arange(n_frames) + 0.5) / n_frames:
        canvas = picture.copy()
        there: list[Box | None] = []
        for actor in actors:
            if moment < actor.since:
                there.append(None)
                continue
            top, left = (
                round(a + (b - a) * moment) for a, b in zip(actor.start, actor.end, strict=True)
            )
            there.append(actor.look.draw(canvas, top, left).box)
        frames.append(noisy(rng, canvas))
        boxes.append(tuple(there))
    return Clip(np.stack(frames), tuple(actors), tuple(boxes), photograph)
