"""Questions and drills about a clip: what moves, where to, and what appears last."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from iwp.scenes.clip import Actor, Clip
from iwp.scenes.drills import Fact, counts, spelled
from iwp.scenes.questions import Found, Question, ask, phrased, several

# How often each kind is asked in training.
WEIGHTS = {
    "moves": 0.28,
    "last": 0.2,
    "way": 0.06,
    "moving": 0.24,
    "color": 0.02,
    "shape": 0.02,
    "exist": 0.02,
    "total": 0.16,
}
# How often each list is drawn.
SHARES = {"moves": 0.3, "way": 0.1, "appears": 0.1, "last": 0.2, "many": 0.3}
_WHAT: dict[str, Callable[[Actor], str]] = {
    "shape": lambda actor: actor.look.shape,
    "color": lambda actor: actor.look.color,
    "object": lambda actor: actor.name,
}


def _named(actors: tuple[Actor, ...]) -> list[int]:
    names = [a.name for a in actors]
    return [i for i, name in enumerate(names) if names.count(name) == 1]


def _about(rng: np.random.Generator, actors: tuple[Actor, ...], i: int) -> Found:
    what = str(rng.choice(list(_WHAT)))
    return {"what": what}, _WHAT[what](actors[i]), (i,)


def _moves(rng: np.random.Generator, actors: tuple[Actor, ...]) -> Found | None:
    movers = [i for i, a in enumerate(actors) if a.way]
    return _about(rng, actors, movers[0]) if len(movers) == 1 else None


def _last(rng: np.random.Generator, actors: tuple[Actor, ...]) -> Found | None:
    last = max(range(len(actors)), key=lambda i: actors[i].since)
    return _about(rng, actors, last) if actors[last].since else None


def _way(rng: np.random.Generator, actors: tuple[Actor, ...]) -> Found | None:
    movers = [i for i in _named(actors) if actors[i].way]
    if not movers:
        return None
    i = movers[int(rng.integers(len(movers)))]
    return {"thing": actors[i].name}, str(actors[i].way), (i,)


def _moving(_: np.random.Generator, actors: tuple[Actor, ...]) -> Found | None:
    movers = tuple(i for i, a in enumerate(actors) if a.way)
    return {}, str(len(movers)), movers


_MAKERS: dict[str, Callable[[np.random.Generator, tuple[Actor, ...]], Found | None]] = {
    "moves": _moves,
    "last": _last,
    "way": _way,
    "moving": _moving,
}


def ask_clip(rng: np.random.Generator, clip: Clip, kind: str) -> Question | None:
    """One question of this kind, or None where the clip does not allow it."""
    if kind not in _MAKERS:
        return ask(rng, clip.scene, kind)
    found = _MAKERS[kind](rng, clip.actors)
    return None if found is None else phrased(rng, kind, found)


def ask_many(rng: np.random.Generator, clip: Clip, n: int) -> list[Question]:
    """N questions in training proportions; repeats only where the clip allows too few."""
    return several(rng, n, WEIGHTS, lambda kind: ask_clip(rng, clip, kind))


def drill_clip(rng: np.random.Generator, clip: Clip) -> tuple[str, list[tuple[str, bool]]]:
    """One drill: its kind, and its words, each with whether the model is to say it."""
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    named = [clip.actors[i] for i in rng.permutation(_named(clip.actors))]
    facts: list[Fact] = []
    if kind == "last" and named:
        facts = [(named[0].name.split(), [])]
        for actor in named[1:]:
            if actor.since != named[0].since:
                word = "last" if actor.since > named[0].since else "first"
                facts.append((actor.name.split(), [word]))
    elif kind != "many":
        value: dict[str, Callable[[Actor], str]] = {
            "moves": lambda actor: "yes" if actor.way else "no",
            "way": lambda actor: actor.way or "no",
            "appears": lambda actor: "yes" if actor.since else "no",
        }
        facts = [(a.name.split(), [value[kind](a)]) for a in named] if kind in value else []
    if not any(said for _, said in facts):
        kind, facts = "many", counts(clip.scene.things)
        facts = [facts[int(i)] for i in rng.permutation(len(facts))]
        movers = sum(1 for a in clip.actors if a.way)
        facts.insert(int(rng.integers(3)), (["move"], [str(movers)]))
    return spelled(kind, facts)
