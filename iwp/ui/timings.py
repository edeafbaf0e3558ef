"""The table of measurements under the two answers, and the line that says what is going on."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from iwp import report
from iwp.report import megabytes, seconds
from iwp.ui import text

if TYPE_CHECKING:
    from iwp.results import Fidelity
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
    Row("Image encoding", lambda a: a.timing.encode_s, seconds, compared=False),
    Row("Selection", lambda a: a.timing.selection_s or None, seconds),
    Row("Prefill", lambda a: a.timing.prefill_s, seconds),
    Row("First token", lambda a: a.timing.first_token_s, seconds),
    Row("Per further token", lambda a: a.timing.per_token_s or None, seconds),
    Row("Total", lambda a: a.timing.total_s, seconds, whole=True),
    Row("KV cache", lambda a: a.kv_bytes, lambda v: megabytes(int(v))),
    Row("Peak device memory", lambda a: a.peak_bytes, lambda v: megabytes(int(v))),
)


def render(
    baseline: Answer | None,
    pruned: Answer | None,
    fidelity: Fidelity | None = None,
    warning: str | None = None,
) -> str:
    """The table as HTML; what is not there yet shows a dash.

    Above it stand the `warning`, a plain sentence, and what pruning lost.
    """
    if baseline is None and pruned is None:
        return ""
    n = baseline.visual_tokens if baseline else 0
    kept = pruned.visual_tokens if pruned else None
    body = [_line("Visual tokens", _tokens(baseline, n), _tokens(pruned, n), _ratio(n, kept))]
    whole = not any(side and side.finish in ("stopped", "deadline") for side in (baseline, pruned))
    for row in ROWS:
        left, right = (row.value(side) if side else None for side in (baseline, pruned))
        if row.label == "Peak device memory" and left is None and right is None:
            continue
        ratio = _ratio(left, right) if row.compared and (whole or not row.whole) else _NONE
        body.append(_line(row.label, _shown(row, left), _shown(row, right), ratio))
    return (
        f'<div class="timings">{_note(warning)}{_fidelity(fidelity)}'
        f'<table><thead><tr><th scope="col"></th>'
        f'<th scope="col">{text.BASELINE}</th><th scope="col">{text.PRUNED}</th>'
        f'<th scope="col">Ratio</th></tr></thead><tbody>{"".join(body)}</tbody></table>'
        f"{_finishes(baseline, pruned)}<p>{text.TIMING_NOTE}</p></div>"
    )


def status(words: str, *, busy: bool = False) -> str:
    """The status line as HTML, with a moving dot while `busy`."""
    if not words:
        return ""
    kind = "busy" if busy else "rest"
    return f'<div class="status {kind}" role="status"><i></i><span>{escape(words)}</span></div>'


def _line(label: str, left: str, right: str, ratio: str) -> str:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in (left, right, ratio))
    return f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>'


def _shown(row: Row, value: float | None) -> str:
    return _NONE if value is None else row.show(value)


def _tokens(answer: Answer | None, n: int) -> str:
    if answer is None:
        return _NONE
    return f"{answer.visual_tokens:,} of {n:,}" if n else f"{answer.visual_tokens:,}"


def _ratio(left: float | None, right: float | None) -> str:
    """How many times less the pruned side needs."""
    if not left or not right:
        return _NONE
    ratio = left / right
    return f"{ratio:.1f}{_TIMES}" if ratio < 100 else f"{ratio:.0f}{_TIMES}"


def _note(sentence: str | None) -> str:
    return f'<p class="note">{escape(sentence)}</p>' if sentence else ""


def _fidelity(fidelity: Fidelity | None) -> str:
    """The figures of `report.fidelity` in a row."""
    if fidelity is None:
        return ""
    items = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>"
        for label, value in report.fidelity(fidelity)
    )
    return f'<dl class="fidelity" title="{escape(text.FIDELITY_NOTE)}">{items}</dl>'


def _finishes(baseline: Answer | None, pruned: Answer | None) -> str:
    """A sentence for every answer that did not end by itself."""
    sides = ((text.BASELINE, baseline), (text.PRUNED, pruned))
    notes = [
        f"{name}: {text.FINISH[answer.finish]}."
        for name, answer in sides
        if answer is not None and answer.finish in text.FINISH
    ]
    return f'<p class="finish">{escape(" ".join(notes))}</p>' if notes else ""
