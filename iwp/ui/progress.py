"""From one event of a run to the next state of the page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iwp.events import Done, Event, Ranked, SideDone, Stage, Text
from iwp.ui import text, timings

if TYPE_CHECKING:
    from iwp.ui.page import Page
    from iwp.ui.visitors import Visitor


def after(event: Event, visitor: Visitor, budget: float) -> Page:
    """The visitor's page after `event`, the token map apart.

    What later events need is noted in `visitor`: the session, the baseline, the answered budget.

    Args:
        event: the newest event of the visitor's run.
        visitor: the tab; `visitor.page` is the state before.
        budget: the fraction that the run answers with.
    """
    page = visitor.page
    if isinstance(event, Stage):
        return replace(page, status=text.STAGES[event.name], busy=True)
    if isinstance(event, Text):
        if event.side == "baseline":
            return replace(page, baseline=event.text)
        return replace(page, pruned=event.text)
    visitor.session = event.session
    if isinstance(event, Ranked):
        return page
    if isinstance(event, SideDone):
        return _side_done(event, visitor, budget)
    return _done(event, visitor)


def _side_done(event: SideDone, visitor: Visitor, budget: float) -> Page:
    answer = event.answer
    if event.side == "baseline":
        visitor.baseline = answer
        table = timings.render(answer, None)
        return replace(visitor.page, baseline=answer.answer, timings=table)
    if answer.finish not in ("stopped", "deadline"):
        visitor.answered = budget
    table = timings.render(visitor.baseline, answer)
    return replace(visitor.page, pruned=answer.answer, timings=table)


def _done(event: Done, visitor: Visitor) -> Page:
    result = event.result
    late = result.pruned.finish == "deadline"
    table = timings.render(visitor.baseline, result.pruned, result.fidelity, result.warning)
    return replace(
        visitor.page,
        timings=table,
        status=text.DEADLINE if late else text.DONE,
        busy=False,
    )
