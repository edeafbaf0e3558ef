"""Questions about a scene, each with its exact answer and the objects that prove it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from iwp.scenes.scene import SPARSE, Scene, Thing
from iwp.scenes.vocabulary import COLORS, COLUMNS, PLURALS, ROWS, SHAPES, TEMPLATES

# How often each kind is asked in training.
WEIGHTS = {
    "color": 0.05,
    "shape": 0.05,
    "exist": 0.07,
    "where": 0.07,
    "total": 0.26,
    "count": 0.21,
    "read": 0.10,
    "code": 0.05,
    "which": 0.07,
    "relation": 0.22,
}


@dataclass(frozen=True)
class Question:
    """One question; `evidence` are the numbers of the scene's objects that it is about."""

    kind: str
    text: str
    answer: str
    evidence: tuple[int, ...]


Found = tuple[dict[str, str], str, tuple[int, ...]]  # template fields, answer, evidence


def _pick(rng: np.random.Generator, candidates: list[int]) -> int | None:
    return candidates[int(rng.integers(len(candidates)))] if candidates else None


def _alone(values: list[str]) -> list[int]:
    return [i for i, v in enumerate(values) if values.count(v) == 1]


def _reference(rng: np.random.Generator, things: tuple[Thing, ...], i: int) -> str:
    """The shape alone where that is enough (sometimes), else colour and shape."""
    shapes = [t.shape for t in things]
    alone = shapes.count(things[i].shape) == 1
    return things[i].shape if alone and rng.random() < 0.4 else things[i].name


def _color(rng: np.random.Generator, things: tuple[Thing, ...]) -> Found | None:
    i = _pick(rng, _alone([t.shape for t in things]))
    return None if i is None else ({"shape": things[i].shape}, things[i].color, (i,))


def _shape(rng: np.random.Generator, things: tuple[Thing, ...]) -> Found | None:
    i = _pick(rng, _alone([t.color for t in things]))
    return None if i is None else ({"color": things[i].color}, things[i].shape, (i,))


def _read(rng: np.random.Generator, things: tuple[Thing, ...], length: int) -> Found | None:
    alone = _alone([t.name for t in things])
    i = _pick(rng, [i for i in alone if len(things[i].glyphs) == length])
    return None if i is None else ({"thing": _reference(rng, things, i)}, things[i].text, (i,))


def _which(rng: np.random.Generator, things: tuple[Thing, ...]) -> Found | None:
    alone = _alone([t.text for t in things])
    i = _pick(rng, [i for i in alone if things[i].text])
    return None if i is None else ({"text": things[i].text}, things[i].name, (i,))


def _total(_: np.random.Generator, things: tuple[Thing, ...]) -> Found | None:
    if len(things) > SPARSE:
        return None
    return {}, str(len(things)), tuple(range(len(things)))


def _count(rng: np.random.Generator, things: tuple[Thing, ...]) -> Found | None:
    if rng.random() < 0.5:
        pool = list(SHAPES) if rng.random() < 0.3 else [t.shape for t in things]
        shape = str(rng.choice(pool))
        found = tuple(i for i, t in enumerate(things) if t.shape == shape)
        noun = PLURALS[shape]
    else:
        pool = list(COLORS) if rng.random() < 0.3 else [t.color for t in things]
        color = str(rng.choice(pool))
        found = tuple(i for i, t in enumerate(things) if t.color == color)
        noun = f"{color} objects"
    return ({"things": noun}, str(len(found)), found) if len(found) < 7 else None


def _exist(rng: np.random.Generator, things: tuple[Thing, ...]) -> Found | None:
    """Half of the answers are "yes"; a "no" about a pair often shares one half with an object."""
    yes, form = rng.random() < 0.5, rng.random()
    for _ in range(12):
        t = things[int(rng.integers(len(things)))]
        shape, color = str(rng.choice(SHAPES)), str(rng.choice(list(COLORS)))
        if form < 0.35:
            noun, found = (
                (t.shape if yes else shape),
                [i for i, o in enumerate(things) if o.shape == (t.shape if yes else shape)],
            )
        elif form < 0.65:
            wanted = t.color if yes else color
            noun, found = f"{wanted} object", [i for i, o in enumerate(things) if o.color == wanted]
        else:
            near = rng.random()
            pair = (
                (t.color, shape)
                if near < 0.2
                else (color, t.shape)
                if near < 0.4
                else (color, shape)
            )
            noun = t.name if yes else " ".join(pair)
            found = [i for i, o in enumerate(things) if o.name == noun]
        if bool(found) == yes:
            return {"thing": noun}, "yes" if yes else "no", tuple(found)
    return None


def _where(rng: np.random.Generator, things: tuple[Thing, ...]) -> Found | None:
    alone = _alone([t.name for t in things])
    i = _pick(rng, [i for i in alone if min(abs(c - 0.5) for c in things[i].center) > 0.06])
    if i is None:
        return None
    y, x = things[i].center
    return (
        {"thing": _reference(rng, things, i)},
        f"{ROWS[int(y > 0.5)]} {COLUMNS[int(x > 0.5)]}",
        (i,),
    )


def _relation(rng: np.random.Generator, things: tuple[Thing, ...]) -> Found | None:
    alone = _alone([t.name for t in things])
    if len(alone) < 2:
        return None
    i, j = (int(k) for k in rng.permutation(alone)[:2])
    axis, swap = int(rng.random() < 0.5), rng.random() < 0.5
    gap = things[i].center[axis] - things[j].center[axis]
    if abs(gap) < 0.12:
        return None
    relation = (("above", "below"), ("left of", "right of"))[axis][int(swap)]
    fields = {"thing": things[i].name, "other": things[j].name, "relation": relation}
    return fields, "yes" if (gap < 0) != swap else "no", (i, j)


_MAKERS: dict[str, Callable[[np.random.Generator, tuple[Thing, ...]], Found | None]] = {
    "color": _color,
    "shape": _shape,
    "exist": _exist,
    "where": _where,
    "total": _total,
    "count": _count,
    "read": lambda rng, things: _read(rng, things, 1),
    "code": lambda rng, things: _read(rng, things, 2),
    "which": _which,
    "relation": _relation,
}


def ask(rng: np.random.Generator, scene: Scene, kind: str) -> Question | None:
    """One question of this kind, or None where the scene does not allow it."""
    found = _MAKERS[kind](rng, scene.things)
    if found is None:
        return None
    return phrased(rng, kind, found)


def phrased(rng: np.random.Generator, kind: str, found: Found) -> Question:
    """The question in one of its wordings."""
    fields, answer, evidence = found
    template = TEMPLATES[kind][int(rng.integers(len(TEMPLATES[kind])))]
    return Question(kind, template.format(**fields), answer, evidence)


def ask_many(rng: np.random.Generator, scene: Scene, n: int) -> list[Question]:
    """N questions in training proportions; repeats only where the scene allows too few."""
    return several(rng, n, WEIGHTS, lambda kind: ask(rng, scene, kind))


def several(
    rng: np.random.Generator,
    n: int,
    weights: dict[str, float],
    ask_one: Callable[[str], Question | None],
) -> list[Question]:
    """N questions of kinds drawn by weight; "exist" must be one that can always be asked."""
    kinds, shares = list(weights), np.array(list(weights.values()))
    out: list[Question] = []
    seen: set[str] = set()
    drawn = rng.choice(len(kinds), size=6 * n, p=shares / shares.sum())
    for tries, k in enumerate(drawn):
        question = ask_one(kinds[int(k)])
        if question and (question.text not in seen or tries > 3 * n):
            seen.add(question.text)
            out.append(question)
            if len(out) == n:
                break
    while len(out) < n:
        question = ask_one("exist")
        if question:
            out.append(question)
    return out
