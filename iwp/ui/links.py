"""Links that bring the page back: what is asked, as the query of an address. No state is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from iwp.budget import check_budget
from iwp.contest import CONVENTIONS
from iwp.errors import InputError, IWPError
from iwp.pruners import PRUNERS
from iwp.question import clean
from iwp.ui import sides

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from iwp.ui.visitors import Asked


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
        wrong: names of what it says and the page cannot use.
    """

    example: int | None = None
    question: str | None = None
    budget: float | None = None
    left: str | None = None
    right: str | None = None
    convention: str | None = None
    wrong: tuple[str, ...] = ()


def query(asked: Asked, budget: float, example: int | None) -> str:
    """The query that brings back a comparison at a budget; what is usual is left out."""
    left, right = asked.sides.left, asked.sides.right
    said = {
        "example": example,
        "q": asked.question,
        "b": f"{100 * budget:.4g}",
        "left": left.name if left else None,
        "right": right.name if right.name != sides.FIRST else None,
        "by": asked.sides.convention if asked.sides.convention != "cut" else None,
    }
    return urlencode({name: value for name, value in said.items() if value is not None})


def read(said: Mapping[str, str], examples: int) -> Linked:
    """What a query says. Of values that cannot be used only the names are kept.

    Args:
        said: the query's parameters; those of others are passed over.
        examples: how many there are.
    """
    readers: dict[str, tuple[str, Callable[[str], Any]]] = {
        "example": ("example", lambda word: _one_of(int(word), range(1, examples + 1))),
        "q": ("question", clean),
        "b": ("budget", lambda word: check_budget(float(word) / 100)),
        "left": ("left", lambda word: _one_of(word, (sides.EVERY, *PRUNERS))),
        "right": ("right", lambda word: _one_of(word, PRUNERS)),
        "by": ("convention", lambda word: _one_of(word, CONVENTIONS)),
    }
    found: dict[str, Any] = {}
    wrong = []
    for name in readers.keys() & said.keys():
        field, reader = readers[name]
        try:
            found[field] = reader(said[name])
        except (ValueError, IWPError):
            wrong.append(name)
    return Linked(**found, wrong=tuple(sorted(wrong)))


def _one_of(value: Any, known: Any) -> Any:
    if value not in known:
        raise InputError(f"{value!r} is not known.")
    return value
