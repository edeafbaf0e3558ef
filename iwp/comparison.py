"""The steps of a comparison on the device, event by event: encode, rank, answer left and right."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iwp import generate, measure
from iwp.answering import answer
from iwp.events import Done, Ranked, SideDone, Stage
from iwp.question import clean
from iwp.results import Contender, RunResult
from iwp.session import Session
from iwp.verdict import first_token_odds, judge, scale_warning, told_by

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from torch import Tensor

    from iwp.adapters.base import VLM, Prepared
    from iwp.answering import Answered
    from iwp.contest import Contest
    from iwp.events import Event
    from iwp.pruners.base import Pruner
    from iwp.run import Brake
    from iwp.types import Decoding, Media, Ranking, Tower


def rank(
    vlm: VLM,
    media: Media,
    question: str,
    contest: Contest,
    decoding: Decoding,
    brake: Brake,
    *,
    errors: bool = True,
) -> Generator[Event, None, Session]:
    """Encode the picture and rank its tokens for every side that has a method.

    `errors` measures what every budget loses: see `iwp.generate.rank`.

    Raises:
        InputError: a method cannot reach the layer average that is asked for.
    """
    yield Stage("encoding")
    brake.check()
    # Here and not in the caller: a tokenizer keeps state, and runs of others may be using it.
    prepared = vlm.adapter.prepare(media, clean(question, vlm.processor.tokenizer))
    contest = on(vlm, contest, prepared.layout.n)
    brake.check()
    watch = measure.Stopwatch(vlm.device)
    features, tower = _encoded(vlm, prepared, contest)
    encode_s = watch.seconds() - (tower.seconds if tower else 0.0)
    brake.check()
    yield Stage("ranking")
    inputs = vlm.adapter.inputs(prepared, features, tower)
    ranking, rival = (
        generate.rank(vlm.model, **inputs, pruner=method, check=brake.check, errors=errors)
        if method
        else None
        for method in (contest.method, contest.rival)
    )
    assert ranking is not None
    tower = tower.to("cpu") if tower else None
    times = media.clip_times
    session = Session(
        *(prepared, features.cpu(), encode_s, contest, ranking, decoding, rival, tower, times),
        serial=vlm.serial,
    )
    yield Ranked(session, prepared.layout, ranking, rival)
    return session


def _encoded(vlm: VLM, prepared: Prepared, contest: Contest) -> tuple[Tensor, Tower | None]:
    if contest.needs_tower:
        return vlm.adapter.encode_and_look(prepared)
    return vlm.adapter.encode(prepared), None


def on(vlm: VLM, contest: Contest, n: int) -> Contest:
    """The contest for a prompt of n visual tokens: see `Contest.on`."""
    return contest.on(n, len(vlm.adapter.decoder_layers))


def answers(vlm: VLM, session: Session, contest: Contest, brake: Brake) -> Iterator[Event]:
    """Answer both sides of `contest`, the left one only where the session has no answer of it.

    Args:
        vlm: the model.
        session: what `rank` returned, of the same methods at this or another budget.
        contest: the methods as they are to answer.
        brake: ends the work.
    """
    session = _ranked_anew(vlm, session, contest, brake)
    left, left_answer, left_logits = None, session.baseline, session.first_logits
    if left_answer is None:
        yield Stage("baseline")
        left = yield from answer(
            vlm, session, "baseline", contest.rival, session.rival_ranking, brake
        )
        left_answer, left_logits = left.answer, left.first_logits
        if contest.rival is None and left_answer.finish != "stopped":
            session = replace(session, baseline=left_answer, first_logits=left.first_logits)
        yield SideDone("baseline", left_answer, session, left.kept)
        if left_answer.finish == "stopped":
            return
    yield Stage("pruned")
    right = yield from answer(vlm, session, "pruned", contest.method, session.ranking, brake)
    yield SideDone("pruned", right.answer, session, right.kept)
    if right.answer.finish == "stopped":
        return
    n, method, ranking = session.prepared.layout.n, contest.method, session.ranking
    result = RunResult(
        baseline=left_answer,
        pruned=right.answer,
        n_visual=n,
        budget=len(right.kept) / n if contest.budget == "auto" else contest.budget,
        kept=right.kept,
        ranks=tuple(ranking.ranks.tolist()),
        layout=session.prepared.layout,
        method=repr(method),
        model=vlm.name,
        device=measure.device_name(vlm.device),
        attention=vlm.attention,
        fidelity=judge(
            told_by(ranking, contest.method, contest.rival),
            left_answer,
            right.answer,
            session.first_logits,
            right.first_logits,
        ),
        exponent=ranking.exponent,
        warning=scale_warning(ranking.exponent, getattr(method, "bandwidth", None)),
        convention=contest.convention,
        kept_share=right.kept_share,
        layer_average=right.layer_average,
        rival=_contender(contest.rival, session.rival_ranking, left),
        times=session.times,
        temperature=session.decoding.temperature,
        first_token=first_token_odds(
            left_logits, right.first_logits, vlm.processor.tokenizer.decode
        ),
    )
    yield Done(result, session)


def _ranked_anew(vlm: VLM, session: Session, contest: Contest, brake: Brake) -> Session:
    """The session at the budget of `contest`, methods ranked again whose selections differ."""
    known = session.contest
    sides = (
        (contest.method, known.method, session.ranking),
        (contest.rival, known.rival, session.rival_ranking),
    )
    stale = [now is not None and not now.nested and now != then for now, then, _ in sides]
    if not any(stale):
        return session
    features = session.features.to(vlm.device)
    inputs = vlm.adapter.inputs(session.prepared, features, session.tower)
    ranking, rival = (
        generate.rank(vlm.model, **inputs, pruner=now, check=brake.check, errors=True)
        if now is not None and old
        else before
        for (now, _, before), old in zip(sides, stale, strict=True)
    )
    assert ranking is not None
    return replace(session, contest=contest, ranking=ranking, rival_ranking=rival)


def _contender(
    method: Pruner | None, ranking: Ranking | None, answered: Answered | None
) -> Contender | None:
    if method is None or ranking is None or answered is None:
        return None
    return Contender(
        method=repr(method),
        kept=answered.kept,
        ranks=tuple(ranking.ranks.tolist()),
        kept_share=answered.kept_share,
        layer_average=answered.layer_average,
    )
