"""The figures of an exam as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from iwp.bench import output
from iwp.exam.results import REFERENCE, Row
from iwp.scenes.exam import KINDS
from iwp.scenes.vocabulary import MOVING

_MARKS = {1: " +", -1: " -", 0: ""}
_PRINCIPAL = 0.111  # the budget whose kinds are shown

Cell = Callable[[Row], str]


def report(rows: Sequence[Row]) -> str:
    """All tables, best method first."""
    ordered = sorted(_by_method(rows).items(), key=lambda both: -_mean(both[1], "accuracy"))
    methods = dict(ordered)
    budget = _nearest(rows, _PRINCIPAL)
    parts = [
        (
            "Exact answers, percent, with the 95 % interval. + and -: above and below IWP at the "
            "same budget, the interval of the paired difference without 0.",
            _pivot(methods, _accuracy),
        ),
        (
            "Relative to every visual token: per kind of question the share of its exact answers, "
            "then the mean, percent.",
            _pivot(methods, lambda row: _percent(row["relative"])),
        ),
        (
            "On photographs / on procedural backgrounds, percent.",
            _pivot(methods, _pair("on photographs", "on procedural")),
        ),
        (
            "What was achieved: tokens left after the last cut / tokens that a layer reads on "
            "average / evidence left, percent. Evidence is left where its token is kept: what was "
            "merged into a kept token is not counted.",
            _pivot(methods, _pair("kept", "layer average", "evidence kept")),
        ),
    ]
    if any("fine" in row for row in rows):
        parts.insert(
            2, ("Coarse / fine questions, percent.", _pivot(methods, _pair("coarse", "fine")))
        )
    if budget is not None:
        parts.insert(
            -2, (f"By kind of question at {budget:.1%}, percent.", _kinds(methods, budget))
        )
    if any("answer ms" in row for row in rows):
        parts.append(
            (
                "Time of one answer, nothing shared: choosing ms / whole answer ms / whole answer "
                "relative to every token. Median over pictures of the largest size. Encoding "
                "the picture is not counted; what a method asks of the vision tower beyond it is, "
                "as a part of choosing.",
                _pivot(methods, _time),
            )
        )
    return "\n\n".join(f"{title}\n\n{table}" for title, table in parts)


def _by_method(rows: Sequence[Row]) -> dict[str, list[Row]]:
    methods: dict[str, list[Row]] = {}
    for row in rows:
        methods.setdefault(row["method"], []).append(row)
    return methods


def _pivot(methods: Mapping[str, Sequence[Row]], cell: Cell) -> str:
    """A row a method and a column a budget; what has no budget stands in all."""
    budgets = sorted(
        {row["budget"] for rows in methods.values() for row in rows if row["budget"]}, reverse=True
    )
    table = []
    for method, rows in methods.items():
        line = {"method": f"**{method}**" if method == REFERENCE else method}
        line["cut before"] = _cuts(rows, budgets)
        by_budget = {row["budget"]: cell(row) for row in rows}
        for budget in budgets:
            line[f"{budget:.1%}"] = by_budget.get(budget, by_budget.get(None, "-"))
        if not budgets:
            line["all"] = cell(rows[0])
        table.append(line)
    return output.markdown(table)


def _cuts(rows: Sequence[Row], budgets: Sequence[float]) -> str:
    """The layers of a method's cuts, for every budget where they differ."""
    by_budget = {row["budget"]: row["cut before"] or "-" for row in rows}
    shown = set(by_budget.values())
    if len(shown) == 1:
        return str(shown.pop())
    return " / ".join(by_budget.get(budget, "-") for budget in budgets)


def _accuracy(row: Row) -> str:
    mark = ""
    if "minus iwp" in row:
        mark = _MARKS[(row["minus iwp low"] > 0) - (row["minus iwp high"] < 0)]
    return f"{_percent(row['accuracy'])} ({_percent(row['low'])} to {_percent(row['high'])}){mark}"


def _pair(*keys: str) -> Cell:
    return lambda row: " / ".join(_percent(row.get(key)) for key in keys)


def _time(row: Row) -> str:
    if "answer ms" not in row:
        return "-"
    ratio = row.get("answer, of full")
    shown = "-" if ratio is None else f"{ratio:.2f}"
    return f"{row['choose ms']:.1f} / {row['answer ms']:.0f} / {shown}"


def _kinds(methods: Mapping[str, Sequence[Row]], budget: float) -> str:
    table = []
    for method, rows in methods.items():
        row = next((row for row in rows if row["budget"] in (budget, None)), None)
        if row is not None:
            shown = {kind: _percent(row[kind]) for kind in (*MOVING, *KINDS) if kind in row}
            table.append({"method": method, **shown})
    return output.markdown(table)


def _nearest(rows: Sequence[Row], wanted: float) -> float | None:
    budgets = [row["budget"] for row in rows if row["budget"]]
    return min(budgets, key=lambda budget: abs(budget - wanted), default=None)


def _mean(rows: Sequence[Row], key: str) -> float:
    return float(sum(row[key] for row in rows) / len(rows))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
