"""An engine without a model: real runs, events and threads around invented answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch

from iwp.budget import check_budget, keep_count
from iwp.errors import InputError
from iwp.events import Done, Event, Ranked, SideDone, Stage, Swept, Text
from iwp.layer_average import layer_average
from iwp.pruners import IWP, HandPicked
from iwp.pruners.base import Pruner
from iwp.results import Contender, Odds, RunResult
from iwp.run import Brake, Run
from iwp.sweep import BUDGETS
from iwp.types import Answer, Media, Ranking, Sampling, Side, Timing, VisualLayout
from iwp.verdict import judge
from tests.browser.sweeps import ended, nothing_swept, swept
from tests.browser.tokens import centre_first, frame_grids, two_grids

LAYERS = 6


@dataclass(frozen=True)
class FakeSession:
    """What the fake engine needs to answer again."""

    layout: VisualLayout
    question: str
    method: Pruner
    against: Pruner | None
    convention: str
    baseline: Answer | None = None
    nbytes: int = 0
    times: tuple[float, ...] | None = None


class FakeEngine:
    """Answers "<n> tokens looked at: <question>", one word every `word_s` seconds."""

    def __init__(
        self, word_s: float = 0.02, words: int = 6, crops: int = 3, together: int = 1
    ) -> None:
        self.vlm: Any = SimpleNamespace(
            name="fake-model",
            device=torch.device("cpu"),
            attention="sdpa",
            model=SimpleNamespace(dtype=torch.float32),
            adapter=SimpleNamespace(
                decoder_layers=[torch.nn.Identity()] * LAYERS,
                reads_clips=True,
                sampling=Sampling(4),
            ),
            pruner={"layer": 2},
            serial=1,
        )
        self.device_name = "cpu"
        self.source = "demo"
        self.glimpse_s: float | None = None
        self.word_s = word_s
        self.words = words
        self.crops = crops
        self.together = together
        self.warning: str | None = None
        self.runs: list[tuple[str, float]] = []
        self.asked: list[tuple[Pruner | None, Pruner | None, int | None, float]] = []
        self.finished: list[str] = []
        self._device = threading.Lock()

    def compare(
        self,
        media: Media,
        question: str,
        budget: float,
        *,
        method: Pruner | None = None,
        against: Pruner | None = None,
        convention: str = "cut",
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
    ) -> Run:
        self._check(question, budget)
        self.asked.append((method, against, max_new_tokens, temperature))
        if media.kind == "video":
            layout = frame_grids(*media.size, len(media.frames), self.together)
        else:
            layout = two_grids(*media.size, crops=self.crops)
        session = FakeSession(
            *(layout, question, method or IWP(), against, convention), times=media.clip_times
        )
        return self._run(lambda brake: self._compare(brake, session, budget))

    def repruned(self, session: FakeSession, budget: float) -> Run:
        self._check(session.question, budget)
        kept_by(session.method, session, budget)  # refused here where it is out of reach
        return self._run(lambda brake: self._repruned(brake, session, budget))

    def sweep(self, session: FakeSession) -> Run:
        return self._run(lambda brake: self._sweep(brake, session))

    def glimpse(self, media: Media, question: str, budget: float) -> Ranked | None:
        self._check(question, budget)
        if self.busy:
            return None
        layout = two_grids(*media.size, crops=self.crops)
        session: Any = FakeSession(layout, question, IWP(), None, "cut")
        return Ranked(session, layout, ranking_of(IWP(), layout), None)

    @property
    def busy(self) -> bool:
        """Whether a run holds the device."""
        return self._device.locked()

    @staticmethod
    def _check(question: str, budget: float) -> None:
        if not question.strip():
            raise InputError("Ask a question about the picture.")
        if len(question) > 4000:
            raise InputError("The question is too long; 4,000 characters are the most.")
        check_budget(budget)

    def _run(self, work: Any) -> Run:
        return Run(work, self._device, deadline_s=60.0)

    def _compare(self, brake: Brake, session: FakeSession, budget: float) -> Iterator[Event]:
        self.runs.append(("compare", budget))
        yield Stage("encoding")
        yield Stage("ranking")
        against = session.against
        yield Ranked(
            session,  # type: ignore[arg-type]
            session.layout,
            ranking_of(session.method, session.layout),
            against and ranking_of(against, session.layout),
        )
        yield from self._answers(brake, session, budget)

    def _repruned(self, brake: Brake, session: FakeSession, budget: float) -> Iterator[Event]:
        self.runs.append(("repruned", budget))
        yield from self._answers(brake, session, budget)

    def _sweep(self, brake: Brake, session: FakeSession) -> Iterator[Event]:
        self.runs.append(("sweep", 1.0))
        yield Stage("sweeping")
        found = nothing_swept(session.layout.n, session.convention)
        for budget in BUDGETS:
            keep = keep_count(found.n_visual, budget)
            steps = self._side(brake, "pruned", session.question, keep)
            answer = ended(steps)
            if answer.finish != "eos":
                yield Swept(found, answer.finish)
                return
            found = swept(found, budget, answer)
            yield Swept(found, None)
        yield Swept(found, "done")

    def _answers(self, brake: Brake, session: FakeSession, budget: float) -> Iterator[Event]:
        against, left = session.against, tuple(range(session.layout.n))
        if against is not None or session.baseline is None:
            if against is not None:
                left = kept_by(against, session, budget)
            yield Stage("baseline")
            answer = yield from self._side(brake, "baseline", session.question, len(left))
            if answer.finish == "eos":
                session = replace(session, baseline=answer)
            yield SideDone("baseline", answer, session, left)  # type: ignore[arg-type]
            if answer.finish != "eos":
                return
        yield Stage("pruned")
        kept = kept_by(session.method, session, budget)
        answer = yield from self._side(brake, "pruned", session.question, len(kept))
        yield SideDone("pruned", answer, session, kept)  # type: ignore[arg-type]
        self.finished.append(answer.finish)
        if answer.finish == "eos":
            result = self._result(session, answer, budget, left, kept)
            yield Done(result, session)  # type: ignore[arg-type]

    def _side(self, brake: Brake, side: Side, question: str, tokens: int) -> Any:
        text = f"{tokens:,} tokens looked at: {question}"
        start = time.perf_counter()
        so_far = ""
        finish = "eos"
        for word in (text.split(" ") + ["and so on"] * self.words)[: self.words + 5]:
            if brake.reason:
                finish = brake.reason
                break
            time.sleep(self.word_s)
            so_far = f"{so_far} {word}".strip()
            yield Text(side, so_far)
        decode_s = time.perf_counter() - start
        selection, prefill = (0.004 if side == "pruned" else 0.0), 2e-5 * tokens
        first, total = 0.21 + prefill, 0.21 + prefill + decode_s
        timing = Timing(0.21, selection, prefill, first, self.word_s, total)
        return Answer(so_far, 8, tokens, timing, tokens * 2048, None, finish)  # type: ignore[arg-type]

    def _result(
        self,
        session: FakeSession,
        pruned: Answer,
        budget: float,
        left: tuple[int, ...],
        kept: tuple[int, ...],
    ) -> RunResult:
        assert session.baseline is not None
        n, ranking = session.layout.n, ranking_of(session.method, session.layout)
        rival = session.against and Contender(
            method=repr(session.against),
            kept=left,
            ranks=tuple(ranking_of(session.against, session.layout).ranks.tolist()),
            kept_share=len(left) / n,
            layer_average=average(session.against, len(left), n),
        )
        return RunResult(
            baseline=session.baseline,
            pruned=pruned,
            n_visual=n,
            budget=budget,
            kept=kept,
            ranks=tuple(ranking.ranks.tolist()),
            layout=session.layout,
            method=repr(session.method),
            model=self.vlm.name,
            device=str(self.vlm.device),
            attention=self.vlm.attention,
            fidelity=judge(ranking, session.baseline, pruned, None, None),
            warning=self.warning,
            kept_share=len(kept) / n,
            layer_average=average(session.method, len(kept), n),
            rival=rival,
            times=session.times,
            first_token=(Odds(str(session.layout.n), 0.62, 0.31), Odds(" <few>", 0.05, 0.4)),
        )


def ranking_of(method: Pruner, layout: VisualLayout) -> Ranking:
    """An order that differs from method to method."""
    return centre_first(layout, seed=sum(map(ord, method.name)) - sum(map(ord, "iwp")))


def kept_by(method: Pruner, session: FakeSession, budget: float) -> tuple[int, ...]:
    """Numbers of the tokens that a method keeps; other ones for every budget unless nested."""
    if isinstance(method, HandPicked):
        return method.tokens
    n = session.layout.n
    fraction = budget
    if session.convention == "average":
        fraction = float(method.at_average(budget, n, LAYERS).budget)
    keep = keep_count(n, fraction)
    if method.nested:
        ranks = ranking_of(method, session.layout).ranks
        return tuple((ranks < keep).nonzero().flatten().tolist())
    first = int(1000 * budget)
    return tuple(sorted((first + token) % n for token in range(keep + 3)))


def average(method: Pruner, kept: int, n: int) -> float:
    """The layer average of one cut."""
    return layer_average([(method.layer, kept)], n, LAYERS)
