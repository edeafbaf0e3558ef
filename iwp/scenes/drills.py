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
    "color": 0.03,
    "shape": 0.03,
    "say": 0.10,
    "written": 0.05,
    "where": 0.02,
    "right": 0.02,
    "many": 0.28,
    "there": 0.03,
    "left": 0.13,
    "above": 0.13,
    "is": 0.18,
}
APART = 0.1  # two objects closer than this share of the picture are not compared
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


def counts(things: tuple[Thing, ...]) -> list[Fact]:
    """How many there are of each colour, of each shape and in all, where they are few."""
    found: dict[tuple[str, ...], int]
    found = {(color, "objects"): sum(t.color == color for t in things) for color in COLORS}
    for shape, plural in PLURALS.items():
        found[(plural,)] = sum(t.shape == shape for t in things)
    found[("objects",)] = len(things)
    return [(list(key), [str(n)]) for key, n in found.items() if 0 < n <= SPARSE]


_LISTS: dict[str, Callable[[tuple[Thing, ...]], list[Fact]]] = {
    "color": _colors,
    "shape": _shapes,
    "say": _texts,
    "written": _owners,
    "where": _places,
    "right": _columns,
    "many": counts,
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


def _beside(axis: int, rng: np.random.Generator, things: tuple[Thing, ...]) -> list[Fact]:
    """On which side of the first object the others lie.

    In a third of the lists every object's place is said before it is compared, in tenths of the
    picture: comparing what has been written down is learned sooner than comparing what was seen.
    """
    named = _named(things)
    if len(named) < 2:
        return []
    aloud, sides = bool(rng.random() < 0.35), (("above", "below"), COLUMNS)[axis]
    facts: list[Fact] = []
    first: Thing | None = None
    for i in rng.permutation(len(named)):
        thing = named[int(i)]
        value = [str(min(9, int(10 * thing.center[axis])))] if aloud else []
        gap = 0.0 if first is None else thing.center[axis] - first.center[axis]
        if abs(gap) >= APART:
            value.append(sides[int(gap > 0)])
        elif first is not None:
            continue
        first = first or thing
        facts.append(([thing.color, thing.shape], value))
    return facts


def _relations(rng: np.random.Generator, things: tuple[Thing, ...]) -> list[Fact]:
    """Statements about two objects, true or false."""
    named, facts = _named(things), list[Fact]()
    for _ in range(6 if len(named) > 1 else 0):
        i, j = (named[int(k)] for k in rng.permutation(len(named))[:2])
        axis, second = int(rng.random() < 0.5), bool(rng.random() < 0.5)
        gap = i.center[axis] - j.center[axis]
        if abs(gap) >= APART:
            word = (("above", "below"), COLUMNS)[axis][int(second)]
            truth = "yes" if (gap > 0) == second else "no"
            facts.append(([i.color, i.shape, word, j.color, j.shape], [truth]))
    return facts


def _facts(rng: np.random.Generator, kind: str, things: tuple[Thing, ...]) -> list[Fact]:
    """What the list says, in order."""
    if kind in ("left", "above"):
        return _beside(int(kind == "left"), rng, things)
    if kind == "is":
        return _relations(rng, things)
    facts = _presence(rng, things) if kind == "there" else _LISTS[kind](things)
    facts = [facts[int(i)] for i in rng.permutation(len(facts))]
    # Totals take longest to learn: they come before the list is cut off.
    return sorted(facts, key=lambda fact: fact[0] != ["objects"])


def spelled(kind: str, facts: list[Fact]) -> tuple[str, list[tuple[str, bool]]]:
    """The drill of these facts: its kind, and its words, each with whether the model says it."""
    words = [(kind, False)]
    for key, value in facts:
        words += [(word, False) for word in key] + [(word, True) for word in value]
    return f"drill-{kind}", words


def drill(rng: np.random.Generator, scene: Scene) -> tuple[str, list[tuple[str, bool]]]:
    """One drill: its kind, and its words, each with whether the model is to say it."""
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    facts = _facts(rng, kind, scene.things)
    if not any(value for _, value in facts):  # too few objects to compare: there is always a count
        kind, facts = "many", counts(scene.things)
    return spelled(kind, facts)
