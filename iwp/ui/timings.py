"""The table of measurements under the two answers, and the line that says what is going on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from iwp import report
from iwp.report import megabytes, seconds
from iwp.ui import text

if TYPE_CHECKING:
    from iwp.types import Answer

_NONE = "\N{EN DASH}"
_TIMES = "\N{MULTIPLICATION SIGN}"


class Row(NamedTuple):
    """One line of the table: `value` reads the number, `show` words it; None means not measured."""

    label: str
    value: Callable[[Answer], float | None]
    show: Callable[[float], str]
    compared: bool = True
    whole: bool = False  # compared only where both answers ended by themselves


ROWS = (
    Row("Encoding", lambda a: a.timing.encode_s, seconds, compared=False),
    Row("Selection", lambda a: a.timing.selection_s or None, seconds),
    Row("Prefill", lambda a: a.timing.prefill_s, seconds),
    Row("First token", lambda a: a.timing.first_token_s, seconds),
    Row("Per further token", lambda a: a.timing.per_token_s or None, seconds),
    Row("Total", lambda a: a.timing.total_s, seconds, whole=True),
    Row("KV cache", lambda a: a.kv_bytes, lambda v: megabytes(int(v))),
    Row("Peak device memory", lambda a: a.peak_bytes, lambda v: megabytes(int(v))),
)


@dataclass(frozen=True)
class Column:
    """One side of the table.

    Attributes:
        title: what the side is called.
        answer: its answer and timings, once it has one.
        kept_share: fraction of the visual tokens that its last cut left, once it is known.
        layer_average: fraction that a layer read on average.
    """

    title: str
    answer: Answer | None = None
    kept_share: float | None = None
    layer_average: float | None = None


def render(left: Column, right: Column, n: int, temperature: float = 0.0) -> str:
    """The table as HTML; what is not there yet shows a dash.

    The picture has `n` visual tokens; at a `temperature` above 0 answers are drawn.
    """
    columns = (left, right)
    if left.answer is None and right.answer is None:
        return ""
    body = [_tokens(columns, n), *_shares(columns)]
    answers = [column.answer for column in columns]
    whole = not any(answer and answer.finish in ("stopped", "deadline") for answer in answers)
    for row in ROWS:
        values = [row.value(answer) if answer else None for answer in answers]
        if row.label == "Peak device memory" and values == [None, None]:
            continue
        times = ratio(*values) if row.compared and (whole or not row.whole) else _NONE
        body.append(_line(row.label, *(_shown(row.show, value) for value in values), times))
    decoding = text.DRAWN.format(temperature) if temperature else text.GREEDY
    heads = "".join(f'<th scope="col">{escape(column.title)}</th>' for column in columns)
    return (
        f'<div class="timings"><table><thead><tr><th scope="col"></th>{heads}'
        f'<th scope="col">Ratio</th></tr></thead><tbody>{"".join(body)}</tbody></table>'
        f"{_finishes(columns)}<p>{text.TIMING_NOTE.format(decoding)}</p></div>"
    )


def status(words: str, *, busy: bool = False) -> str:
    """The status line as HTML, with a moving dot while `busy`."""
    if not words:
        return ""
    kind = "busy" if busy else "rest"
    return f'<div class="status {kind}" role="status"><i></i><span>{escape(words)}</span></div>'


def _line(label: str, *values: str) -> str:
    cells = "".join(f"<td>{escape(value)}</td>" for value in values)
    return f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>'


def _shown(show: Callable[[float], str], value: float | None) -> str:
    return _NONE if value is None else show(value)


def _tokens(columns: tuple[Column, Column], n: int) -> str:
    counts = [column.answer.visual_tokens if column.answer else None for column in columns]
    shown = [_NONE if count is None else f"{count:,} of {n:,}" for count in counts]
    return _line("Visual tokens", *shown, ratio(*counts))


def _shares(columns: tuple[Column, Column]) -> list[str]:
    """Both ways of telling a budget, so that any two methods can be held against each other."""
    rows = (
        (report.CONVENTIONS["cut"], [column.kept_share for column in columns]),
        (report.CONVENTIONS["average"], [column.layer_average for column in columns]),
    )
    return [
        _line(label, *(_shown(report.percent, share) for share in shares), ratio(*shares))
        for label, shares in rows
        if shares != [None, None]
    ]


def ratio(left: float | None, right: float | None) -> str:
    """How many times less the right side needs, for people."""
    if not left or not right:
        return _NONE
    times = left / right
    return f"{times:.1f}{_TIMES}" if times < 100 else f"{times:.0f}{_TIMES}"


def _finishes(columns: tuple[Column, Column]) -> str:
    """A sentence for every answer that did not end by itself."""
    notes = [
        f"{column.title}: {text.FINISH[column.answer.finish]}."
        for column in columns
        if column.answer is not None and column.answer.finish in text.FINISH
    ]
    return f'<p class="finish">{escape(" ".join(notes))}</p>' if notes else ""
