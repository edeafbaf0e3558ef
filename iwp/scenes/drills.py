"""Drills: lists of facts about a scene, several to a segment, each said right after its key.

A question asks for one fact in a dozen tokens; a drill practises four to seven in as many. The
list's first word says what is listed, as in "color star red heart blue".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from iwp.scenes.scene import SPARSE, Scene, Thing
from iwp.scenes.vocabulary import COLORS, COLUMNS, PLURALS, ROWS, SHAPES

# How often each list is drawn: what only some of an object's patches show takes longest to learn.
SHARES = {
    "color": 0.06,
    "shape": 0.06,
    "say": 0.24,
    "written": 0.08,
    "where": 0.10,
    "right": 0.08,
    "many": 0.28,
    "there": 0.1,
}
Fact = tuple[list[str], list[str]]  # key, value


def _unique(keys: list[str]) -> list[bool]:
    return [keys.count(k) == 1 for k in keys]


def _colors(things: tuple[Thing, ...]) -> list[Fact]:
    alone = _unique([t.shape for t in things])
    return [([t.shape], [t.color]) for t, a in zip(things, alone, strict=True) if a]


def _shapes(things: tuple[Thing, ...]) -> list[Fact]:
    alone = _unique([t.color for t in things])
    return [([t.color], [t.shape]) for t, a in zip(things, alone, strict=True) if a]


def _named(things: tuple[Thing, ...]) -> list[Thing]:
    alone = _unique([t.name for t in things])
    return [t for t, a in zip(things, alone, strict=True) if a]


def _texts(things: tuple[Thing, ...]) -> list[Fact]:
    return [([t.color, t.shape], t.text.split()) for t in _named(things) if t.text]


def _owners(things: tuple[Thing, ...]) -> list[Fact]:
    alone = _unique([t.text for t in things])
    both = zip(things, alone, strict=True)
    return [(t.text.split(), [t.color, t.shape]) for t, a in both if a and t.text]


def _places(things: tuple[Thing, ...]) -> list[Fact]:
    return [
        ([t.color, t.shape], [ROWS[int(t.center[0] > 0.5)], COLUMNS[int(t.center[1] > 0.5)]])
        for t in _named(things)
        if min(abs(c - 0.5) for c in t.center) > 0.06
    ]


def _columns(things: tuple[Thing, ...]) -> list[Fact]:
    """The column alone: behind the row it is the second word to look up, and is not learned."""
    return [(key, value[1:]) for key, value in _places(things)]


def _counts(things: tuple[Thing, ...]) -> list[Fact]:
    counts: dict[tuple[str, ...], int]
    counts = {(color, "objects"): sum(t.color == color for t in things) for color in COLORS}
    for shape, plural in PLURALS.items():
        counts[(plural,)] = sum(t.shape == shape for t in things)
    counts[("objects",)] = len(things)
    return [(list(key), [str(n)]) for key, n in counts.items() if 0 < n <= SPARSE]


_LISTS: dict[str, Callable[[tuple[Thing, ...]], list[Fact]]] = {
    "color": _colors,
    "shape": _shapes,
    "say": _texts,
    "written": _owners,
    "where": _places,
    "right": _columns,
    "many": _counts,
}


def _presence(rng: np.random.Generator, things: tuple[Thing, ...]) -> list[Fact]:
    """Eight names, half of them of objects that are there."""
    names = {t.name for t in things}
    facts: list[Fact] = []
    for _ in range(8):
        color, shape = str(rng.choice(list(COLORS))), str(rng.choice(SHAPES))
        if rng.random() < 0.5:
            thing = things[int(rng.integers(len(things)))]
            color, shape = thing.color, thing.shape
        facts.append(([color, shape], ["yes" if f"{color} {shape}" in names else "no"]))
    return facts


def drill(rng: np.random.Generator, scene: Scene) -> tuple[str, list[tuple[str, bool]]]:
    """One drill: its kind, and its words, each with whether the model is to say it."""
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    facts = _presence(rng, scene.things) if kind == "there" else _LISTS[kind](scene.things)
    words = [(kind, False)]
    for i in rng.permutation(len(facts)):
        key, value = facts[int(i)]
        words += [(word, False) for word in key] + [(word, True) for word in value]
    return f"drill-{kind}", words
