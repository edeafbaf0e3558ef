"""`python -m iwp methods`: the table of all methods, from the methods themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iwp import marked
from iwp.budget import USUAL_BUDGET
from iwp.errors import InputError
from iwp.layer_average import layer_average
from iwp.pruners import PRUNERS
from iwp.report import percent

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.pruners.base import Pruner

_NAME, _COMMAND = "methods", "python -m iwp methods --write README.md"
_LAYERS = 28  # of the 7B models that the papers compare on
_MANY = 1_000_000  # so many tokens that whole ones do not show
_ARXIV = "https://arxiv.org/abs/"


@dataclass(frozen=True)
class Entry:
    """One method with the settings of its own for a decoder of some depth.

    Attributes:
        method: the method at the budget.
        kept: the fraction of the visual tokens that its last cut leaves at this budget.
        average: the fraction that a layer reads on average.
        kept_at_average: what the last cut leaves where the layer average has to be the budget;
            None where that is out of reach.
    """

    method: Pruner
    kept: float
    average: float
    kept_at_average: float | None


def entries(layers: int = _LAYERS, budget: float = USUAL_BUDGET) -> list[Entry]:
    """Every method of `PRUNERS` at a budget, on a decoder of so many layers."""
    found = []
    for kind in PRUNERS.values():
        method = kind(**kind.suited(layers, {}), budget=budget)
        average = layer_average(method.plan(_MANY), _MANY, layers)
        try:
            equal = _kept(method.at_average(budget, _MANY, layers), layers)
        except InputError:
            equal = None
        found.append(Entry(method, _kept(method, layers), average, equal))
    return found


def stage(method: Pruner) -> str:
    """Where a method cuts, in words."""
    cuts = [cut.layer for cut in method.cuts]
    if len(cuts) > 1:
        return f"before layers {', '.join(map(str, cuts[:-1]))} and {cuts[-1]}"
    if cuts[0] > 0:
        return f"before layer {cuts[0]}"
    return "vision tower output" if method.needs_tower else "projector output"


def fate(method: Pruner) -> str:
    """What becomes of the tokens that are not kept, in words."""
    return "merged" if method.merges else "dropped"


def markdown(layers: int = _LAYERS, budget: float = USUAL_BUDGET) -> str:
    """The table for the README, without an end of line."""
    share = percent(budget)
    head = (
        *("method", "class", "what it keeps", "cut", "others are"),
        *(f"{share} at the cut: layer average", f"{share} layer average: kept at the cut"),
    )
    lines = [head, ("---",) * len(head)]
    for entry in entries(layers, budget):
        method = entry.method
        paper = f" ([{method.paper}]({_ARXIV}{method.paper}))" if method.paper else ""
        names = (f"`{method.name}`", f"`{type(method).__name__}`", method.keeps + paper)
        left = _share(entry.kept_at_average, "out of reach")
        lines.append((*names, stage(method), fate(method), percent(entry.average), left))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def text(layers: int = _LAYERS, budget: float = USUAL_BUDGET) -> str:
    """The table for a terminal, and what a budget means for each method."""
    rows: list[tuple[str, ...]] = [
        ("method", "paper", "cut", "others", "kept", "average", "kept*", "the budget is")
    ]
    for entry in entries(layers, budget):
        method = entry.method
        shares = (percent(entry.kept), percent(entry.average), _share(entry.kept_at_average, "-"))
        place = (method.name, method.paper or "-", stage(method), fate(method))
        rows.append((*place, *shares, method.budget_is))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    share = percent(budget)
    notes = (
        f"At a budget of {share}: kept after the last cut, and average of {layers} layers.",
        f"kept*: after the last cut where the layer average is {share}; - is out of reach.",
    )
    return "\n".join([*lines, "", *notes])


def written(page: str, table: str) -> str:
    """The page with the table in its place, see `iwp.marked.written`."""
    return marked.written(page, _NAME, _COMMAND, table)


def write(file: Path, layers: int = _LAYERS) -> None:
    """Renew the table in a Markdown file, see `iwp.marked.write`."""
    marked.write(file, _NAME, _COMMAND, markdown(layers))


def _kept(method: Pruner, layers: int) -> float:
    left = [count for layer, count in method.plan(_MANY) if layer < layers]
    return left[-1] / _MANY if left else 1.0


def _share(share: float | None, without: str) -> str:
    return without if share is None else percent(share)
