"""Links that bring the page back: what is asked, as the query of an address. No state is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from iwp.budget import check_budget
from iwp.contest import CONVENTIONS
from iwp.errors import InputError, IWPError
from iwp.options import parse
from iwp.pruners import PRUNERS
from iwp.question import clean
from iwp.ui import sides
from iwp.ui.hand import method_of
from iwp.ui.knobs import decoding_of, layer_of, options_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from iwp.ui.visitors import Asked

_KNOBS = {"layer": "layer", "tokens": "max_new_tokens", "temperature": "temperature"}


@dataclass(frozen=True)
class Linked:
    """What a link says; None where it says nothing.

    Attributes:
        example: number of the example picture.
        question: what to ask.
        budget: fraction of the visual tokens.
        left: name of the left side's method.
        right: of the right side's.
        convention: what the budget is a fraction of.
        knobs: settings that differ from the usual ones, by name.
        wrong: names of what it says and the page cannot use.
    """

    example: int | None = None
    question: str | None = None
    budget: float | None = None
    left: str | None = None
    right: str | None = None
    convention: str | None = None
    knobs: Mapping[str, Any] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()


def query(asked: Asked, budget: float, example: int | None) -> str:
    """The query that brings back a comparison at a budget; what is usual is left out."""
    left, right, knobs = asked.sides.left, method_of(asked.sides), asked.sides.knobs
    if left is right:  # what a hand picked is too much for a link: its method alone comes back
        left = None
    said = {
        "example": example,
        "q": asked.question,
        "b": f"{100 * budget:.4g}",
        "left": left.name if left else None,
        "right": right.name if right.name != sides.FIRST else None,
        "by": asked.sides.convention if asked.sides.convention != "cut" else None,
        "layer": knobs.layer,
        "tokens": knobs.max_new_tokens,
        "temperature": f"{knobs.temperature:g}" if knobs.temperature else None,
        "set": ",".join(f"{name}={value}" for name, value in knobs.options.items()) or None,
    }
    return urlencode({name: value for name, value in said.items() if value is not None})


def read(said: Mapping[str, str], examples: int, usual: Mapping[str, Any]) -> Linked:
    """What a query says. Of values that cannot be used only the names are kept.

    Args:
        said: the query's parameters; those of others are passed over.
        examples: how many there are.
        usual: the settings before anything is changed.
    """
    fields: dict[str, Callable[[str], Any]] = {
        "example": lambda word: _one_of(int(word), range(1, examples + 1)),
        "q": clean,
        "b": lambda word: check_budget(float(word) / 100),
        "left": lambda word: _one_of(word, (sides.EVERY, *PRUNERS)),
        "right": lambda word: _one_of(word, PRUNERS),
        "by": lambda word: _one_of(word, CONVENTIONS),
    }
    knobs: dict[str, Callable[[str], Any]] = {
        "layer": lambda word: layer_of(int(word)),
        "tokens": lambda word: decoding_of(int(word), None, usual).max_new_tokens,
        "temperature": lambda word: decoding_of(None, float(word), usual).temperature,
        "set": lambda word: options_of(parse(word.split(",")), usual),
    }
    readers = {**fields, **knobs}
    tried = {name: _tried(readers[name], said[name]) for name in readers.keys() & said.keys()}
    found = {name: value for name, value in tried.items() if value is not None}
    changed = {_KNOBS[name]: found[name] for name in _KNOBS if name in found}
    return Linked(
        example=found.get("example"),
        question=found.get("q"),
        budget=found.get("b"),
        left=found.get("left"),
        right=found.get("right"),
        convention=found.get("by"),
        knobs={**changed, **found.get("set", {})},
        wrong=tuple(sorted(tried.keys() - found.keys())),
    )


def _tried(reader: Callable[[str], Any], word: str) -> Any:
    """What a reader makes of a word; None where it cannot be used."""
    try:
        return reader(word)
    except (ValueError, IWPError):
        return None


def _one_of(value: Any, known: Any) -> Any:
    if value not in known:
        raise InputError(f"{value!r} is not known.")
    return value
