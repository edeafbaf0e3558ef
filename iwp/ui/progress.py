"""From one event of a run to the next state of the page."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from iwp.events import Done, Event, Ranked, SideDone, Stage, Swept, Text
from iwp.ui import outcome, sweep_view, text, timings
from iwp.ui.kept_at import redraws
from iwp.ui.sides import called
from iwp.ui.timings import Column
from iwp.ui.token_map import ranked_id
from iwp.ui.token_sides import KeptData, kept_bits

if TYPE_CHECKING:
    from iwp.recordings import Recording
    from iwp.results import RunResult
    from iwp.types import Answer
    from iwp.ui.page import Page
    from iwp.ui.sides import Sides
    from iwp.ui.visitors import Asked, Visitor


def after(event: Event, visitor: Visitor, asked: Asked, budget: float) -> Page:
    """The visitor's page after `event`, the token map apart.

    What later events need is noted in `visitor`: the ranking, the session, the left answer, the
    answered budget, the result.

    Args:
        event: the newest event of the visitor's run.
        visitor: the tab; `visitor.page` is the state before.
        asked: what the run answers.
        budget: the fraction that it answers with.
    """
    page = visitor.page
    if isinstance(event, Stage):
        return replace(page, status=stage(event, asked.sides), busy=True)
    if isinstance(event, Text):
        if event.side == "baseline":
            return replace(page, baseline=event.text)
        return replace(page, pruned=event.text)
    if isinstance(event, Swept):
        return _swept(event, page)
    visitor.session = event.session
    if isinstance(event, Ranked):
        visitor.ranked = event
        return page
    if isinstance(event, SideDone):
        return _side_done(event, visitor, asked, budget)
    return _done(event, visitor, asked)


def table(visitor: Visitor, sides: Sides, right: Answer | None, of: RunResult | None = None) -> str:
    """The measurements as HTML: of the left answer, of the `right` one and of a whole result.

    Only a whole result has an outcome, which stands above them.
    """
    n = visitor.page.token_map.n if visitor.page.token_map else 0
    titles, temperature = sides.titles, sides.knobs.temperature
    if of is None:
        whole = 1.0 if sides.left is None else None
        return timings.render(
            Column(titles[0], visitor.baseline, whole, whole),
            Column(titles[1], right),
            n,
            temperature,
        )
    rival = of.rival
    return outcome.render(of, titles) + timings.render(
        Column(titles[0], visitor.baseline, rival.kept_share, rival.layer_average)
        if rival
        else Column(titles[0], visitor.baseline, 1.0, 1.0),
        Column(titles[1], right, of.kept_share, of.layer_average),
        n,
        temperature,
    )


def recorded(visitor: Visitor, asked: Asked, result: RunResult) -> Page:
    """The visitor's page with a recorded result of `asked`, the token map apart."""
    assert asked.recording is not None
    visitor.baseline, visitor.result, visitor.answered = result.baseline, result, result.budget
    told = text.RECORDED.format(asked.recording.made)
    measured = table(visitor, asked.sides, result.pruned, result)
    return replace(
        visitor.page,
        baseline=result.baseline.answer,
        pruned=result.pruned.answer,
        timings=f'<p class="recorded">{escape(told)}</p>{measured}',
        status=text.RECORDED_STATUS,
        busy=False,
    )


def swept(page: Page, recording: Recording) -> Page:
    """The page with all budgets of a recording."""
    told = text.RECORDED.format(recording.made)
    drawn = sweep_view.render(recording.sweep(), told)
    return replace(page, sweep=drawn, status=text.SWEPT_ALL, busy=False)


def stage(event: Stage, sides: Sides) -> str:
    """What the run is doing, for people."""
    if event.name in text.STAGES:
        return text.STAGES[event.name]
    method = sides.left if event.name == "baseline" else sides.right
    return text.EVERY_TOKEN if method is None else text.KEPT_TOKENS.format(called(method))


def _side_done(event: SideDone, visitor: Visitor, asked: Asked, budget: float) -> Page:
    answer, sides = event.answer, asked.sides
    page = replace(visitor.page, kept=_kept(event, visitor, asked, budget))
    if event.side == "baseline":
        visitor.baseline = answer
        return replace(page, baseline=answer.answer, timings=table(visitor, sides, None))
    if answer.finish not in ("stopped", "deadline"):
        visitor.answered = budget
    return replace(page, pruned=answer.answer, timings=table(visitor, sides, answer))


def _swept(event: Swept, page: Page) -> Page:
    found = event.sweep
    words = {
        "stopped": text.STOPPED,
        "deadline": text.DEADLINE,
        "done": text.SWEPT_ALL,
        None: text.SWEPT.format(len(found.points), found.planned),
    }
    return replace(
        page,
        sweep=sweep_view.render(found),
        status=words[event.ended],
        busy=event.ended is None,
    )


def _kept(event: SideDone, visitor: Visitor, asked: Asked, budget: float) -> KeptData | None:
    """The newest selections of the methods that choose anew for every budget."""
    before, sides = visitor.page.kept, asked.sides
    method = sides.left if event.side == "baseline" else sides.right
    known = event.answer.n_tokens or event.answer.finish in ("eos", "length")
    if method is None or redraws(method) or not known or visitor.page.token_map is None:
        return before
    kept: list[str | None] = [None] * len(sides.pruners)
    if before is not None and before.budget == budget:
        kept = list(before.kept)
    kept[0 if event.side == "baseline" else -1] = kept_bits(visitor.page.token_map.n, event.kept)
    return KeptData(id=ranked_id(asked.run_id), budget=budget, kept=kept)


def _done(event: Done, visitor: Visitor, asked: Asked) -> Page:
    result = visitor.result = event.result
    late = result.pruned.finish == "deadline"
    return replace(
        visitor.page,
        timings=table(visitor, asked.sides, result.pruned, result),
        status=text.DEADLINE if late else text.DONE,
        busy=False,
    )
