"""A sweep on the page: the drawing, the table below it, and what was shared."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from iwp import report
from iwp.ui import text
from iwp.ui.sweep_plot import plot

if TYPE_CHECKING:
    from iwp.results import Sweep


def render(found: Sweep, told: str = "") -> str:
    """What there is of a sweep, as HTML; nothing before its first answer.

    Args:
        found: the sweep.
        told: a sentence that has to stand above its numbers.
    """
    if not found.points:
        return ""
    head, *rows = (_answer_second(row) for row in report.sweep_rows(found))
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(value)}</td>" for value in row[1:])
        + "</tr>"
        for row in rows
    )
    above = f'<p class="recorded">{escape(told)}</p>' if told else ""
    notes = "".join(f"<p>{escape(note)}</p>" for note in report.sweep_notes(found))
    return (
        f'<div class="sweep"><h3>{text.SWEEP_TITLE.format(escape(_name(found)))}</h3>'
        f"{above}{plot(found)}"
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text.SWEEP_TABLE}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{notes}</div>"
    )


def _answer_second(row: tuple[str, ...]) -> tuple[str, ...]:
    """The answer beside its budget: there a narrow screen shows it without scrolling."""
    budget, *numbers, answer = row
    return (budget, answer, *numbers)


def _name(found: Sweep) -> str:
    return found.method.partition("(")[0]
