"""One prompt answered at a row of budgets; the layers before the cut are read once for all."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from iwp import measure, verdict, wording
from iwp.answering import answer
from iwp.budget import check_budget
from iwp.errors import InputError, IWPError
from iwp.events import Stage, Swept
from iwp.options import spelled
from iwp.results import Sweep, SweepPoint
from iwp.run import Halted
from iwp.trunk import Trunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iwp.adapters.base import VLM
    from iwp.answering import Answered
    from iwp.contest import Contest
    from iwp.events import Event
    from iwp.pruners.base import Pruner
    from iwp.run import Brake
    from iwp.session import Session
    from iwp.types import Answer

BUDGETS = (1.0, 0.5, 0.353, 0.222, 0.111, 0.05)
"""What the page's sweep answers at: everything, the paper's budgets, and one on each side."""


def in_order(budgets: Iterable[float]) -> tuple[float, ...]:
    """The budgets from 100 % down, each once: the answer with everything is the yardstick.

    Raises:
        InputError: one of them cannot be used.
    """
    return tuple(sorted({1.0, *map(check_budget, budgets)}, reverse=True))


def sweep(vlm: VLM, session: Session, budgets: tuple[float, ...], brake: Brake) -> Iterator[Event]:
    """Answer at every budget with the right side's method, and tell what there is after each.

    Args:
        vlm: the model.
        session: the ranked prompt.
        budgets: from `in_order`.
        brake: ends the work; an answer that it cuts short is left out.
    """
    yield Stage("sweeping")
    brake.check()
    contest = session.contest
    trunk, shared_s = _shared(vlm, session, contest.method, brake)
    found = Sweep(
        points=(),
        out_of_reach=(),
        planned=len(budgets),
        n_visual=session.prepared.layout.n,
        encode_s=session.encode_s,
        shared_s=shared_s,
        shared_layers=contest.method.layer if trunk else 0,
        method=spelled(contest.method),
        convention=contest.convention,
        model=vlm.name,
        device=measure.device_name(vlm.device),
        attention=vlm.attention,
    )
    whole: Answered | None = None
    for budget in budgets:
        try:
            method = _at(vlm, contest, budget, found.n_visual)
        except InputError:
            found = replace(found, out_of_reach=(*found.out_of_reach, budget))
            continue
        there = _answered(vlm, session, method, trunk, brake)
        reason = there.answer.finish
        if reason == "stopped" or reason == "deadline":
            if whole is None:  # nothing to show: the run says why
                raise Halted(reason)
            yield Swept(found, reason)
            return
        whole = whole or there
        point = _point(session, contest, budget, there, whole, shared_s)
        found = replace(found, points=(*found.points, point))
        yield Swept(found, None)
    yield Swept(found, "done")


def _shared(vlm: VLM, session: Session, method: Pruner, brake: Brake) -> tuple[Trunk | None, float]:
    """The layers before the cut, and the seconds that reading them took; none in some models."""
    inputs = vlm.adapter.inputs(session.prepared, session.features.to(vlm.device), session.tower)
    watch = measure.Stopwatch(vlm.device)
    try:
        trunk = Trunk(vlm.model, **inputs, layer=method.layer, check=brake.check)
    except IWPError:  # features for layers after the cut: every budget reads the whole prompt
        return None, 0.0
    return trunk, watch.seconds()


def _at(vlm: VLM, contest: Contest, budget: float, n: int) -> Pruner | None:
    """The method at a budget; none where everything is kept."""
    if budget == 1.0:
        return None
    return contest.at(budget).on(n, len(vlm.adapter.decoder_layers)).method


def _answered(
    vlm: VLM, session: Session, method: Pruner | None, trunk: Trunk | None, brake: Brake
) -> Answered:
    there: list[Answered] = []

    def noted() -> Iterator[Event]:
        steps = answer(vlm, session, "pruned", method, session.ranking, brake, trunk)
        there.append((yield from steps))

    deque(noted(), maxlen=0)  # nobody reads along with six answers
    return there[0]


def _point(
    session: Session,
    contest: Contest,
    budget: float,
    there: Answered,
    whole: Answered,
    shared_s: float,
) -> SweepPoint:
    ranking = verdict.told_by(session.ranking, contest.method)
    if not contest.method.nested:  # the ranking is that of one budget, and tells of no other
        ranking = replace(ranking, weight_errors=None, output_errors=None)
    fidelity = verdict.judge(
        ranking,
        whole.answer,
        there.answer,
        whole.first_logits,
        there.first_logits,
    )
    return SweepPoint(
        budget=budget,
        answer=_with_shared(there.answer, shared_s),
        own_prefill_s=there.answer.timing.prefill_s,
        kept_share=there.kept_share,
        layer_average=there.layer_average,
        fidelity=fidelity,
        agreement=wording.agreement(whole.answer.answer, there.answer.answer),
    )


def _with_shared(answer: Answer, shared_s: float) -> Answer:
    """The answer with the time of the shared layers, as if it had read them itself."""
    own = answer.timing
    timing = replace(
        own,
        prefill_s=own.prefill_s + shared_s,
        first_token_s=own.first_token_s + shared_s,
        total_s=own.total_s + shared_s,
    )
    return replace(answer, timing=timing)
