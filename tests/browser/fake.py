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
from iwp.events import Done, Event, Ranked, SideDone, Stage, Text
from iwp.run import Brake, Run
from iwp.results import RunResult
from iwp.types import (
    Answer,
    Block,
    Media,
    Ranking,
    Side,
    Timing,
    TokenGrid,
    VisualLayout,
)
from iwp.verdict import judge

SIDE = 27


@dataclass(frozen=True)
class FakeSession:
    """What the fake engine needs to answer again."""

    layout: VisualLayout
    ranking: Ranking
    question: str
    baseline: Answer | None = None
    nbytes: int = 0


class FakeEngine:
    """Answers "<n> tokens looked at: <question>", one word every `word_s` seconds."""

    def __init__(self, word_s: float = 0.02, words: int = 6, crops: int = 3) -> None:
        self.vlm: Any = SimpleNamespace(
            name="fake-model",
            device=torch.device("cpu"),
            attention="sdpa",
            model=SimpleNamespace(dtype=torch.float32),
        )
        self.device_name = "cpu"
        self.word_s = word_s
        self.words = words
        self.crops = crops
        self.warning: str | None = None
        self.runs: list[tuple[str, float]] = []
        self.finished: list[str] = []
        self._device = threading.Lock()

    def compare(self, media: Media, question: str, budget: float, **_: Any) -> Run:
        self._check(question, budget)
        return self._run(lambda brake: self._compare(brake, media, question, budget))

    def repruned(self, session: FakeSession, budget: float) -> Run:
        self._check(session.question, budget)
        return self._run(lambda brake: self._repruned(brake, session, budget))

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

    def _compare(self, brake: Brake, media: Media, question: str, budget: float) -> Iterator[Event]:
        self.runs.append(("compare", budget))
        yield Stage("encoding")
        layout = two_grids(*media.size, crops=self.crops)
        yield Stage("ranking")
        session = FakeSession(layout, centre_first(layout), question)
        yield Ranked(session, layout, session.ranking)  # type: ignore[arg-type]
        yield Stage("baseline")
        answer = yield from self._side(brake, "baseline", question, layout.n)
        if answer.finish == "eos":
            session = replace(session, baseline=answer)
        yield SideDone("baseline", answer, session)  # type: ignore[arg-type]
        if answer.finish == "eos":
            yield from self._pruned(brake, session, budget)

    def _repruned(self, brake: Brake, session: FakeSession, budget: float) -> Iterator[Event]:
        self.runs.append(("repruned", budget))
        yield from self._pruned(brake, session, budget)

    def _pruned(self, brake: Brake, session: FakeSession, budget: float) -> Iterator[Event]:
        keep = keep_count(session.layout.n, budget)
        yield Stage("pruned")
        answer = yield from self._side(brake, "pruned", session.question, keep)
        yield SideDone("pruned", answer, session)  # type: ignore[arg-type]
        self.finished.append(answer.finish)
        if answer.finish == "eos" and session.baseline is not None:
            result = self._result(session, answer, budget)
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
        total = time.perf_counter() - start
        selection = 0.004 if side == "pruned" else 0.0
        timing = Timing(0.21, selection, 2e-5 * tokens, 0.21 + 2e-5 * tokens, self.word_s, total)
        return Answer(so_far, 8, tokens, timing, tokens * 2048, None, finish)  # type: ignore[arg-type]

    def _result(self, session: FakeSession, pruned: Answer, budget: float) -> RunResult:
        assert session.baseline is not None
        ranks = session.ranking.ranks
        return RunResult(
            baseline=session.baseline,
            pruned=pruned,
            n_visual=session.layout.n,
            budget=budget,
            kept=tuple(torch.nonzero(ranks < pruned.visual_tokens).flatten().tolist()),
            ranks=tuple(ranks.tolist()),
            layout=session.layout,
            method="fake",
            model=self.vlm.name,
            device=str(self.vlm.device),
            attention=self.vlm.attention,
            fidelity=judge(session.ranking, session.baseline, pruned, None, None),
            warning=self.warning,
        )


def two_grids(width: int, height: int, crops: int = 3) -> VisualLayout:
    """A base grid and `crops` x `crops` crops with row ends and seams, as LLaVA-OneVision has."""
    base = TokenGrid(
        "base", "Base", SIDE, SIDE, 0, (Block(0, SIDE, 0, SIDE, 0.0, 0.0, width, height),)
    )
    step_x, step_y = width / crops, height / crops
    blocks = tuple(
        Block(
            *(row * SIDE, (row + 1) * SIDE, col * SIDE, (col + 1) * SIDE),
            *(col * step_x, row * step_y, (col + 0.985) * step_x, (row + 0.985) * step_y),
        )
        for row in range(crops)
        for col in range(crops)
    )
    side = SIDE * crops
    fine = TokenGrid("fine", "High-res", side, side, SIDE * SIDE, blocks, newline=True)
    return VisualLayout(SIDE * SIDE + side * (side + 1), width, height, (base, fine))


def centre_first(layout: VisualLayout) -> Ranking:
    """Ranks from the middle of the picture outwards, with a little noise."""
    noise = torch.Generator().manual_seed(0)
    scores = torch.zeros(layout.n)
    for grid in layout.grids:
        rows = torch.linspace(-1, 1, grid.rows)[:, None]
        cols = torch.linspace(-1, 1, grid.stride)[None, :]
        bump = torch.exp(-2 * (rows**2 + cols**2)).flatten()
        end = grid.offset + bump.numel()
        scores[grid.offset : end] = bump + 0.25 * torch.rand(bump.shape, generator=noise)
    order = torch.argsort(scores, descending=True, stable=True)
    ranks = torch.empty(layout.n, dtype=torch.int64)
    ranks[order] = torch.arange(layout.n)
    kept = torch.linspace(0.0, 1.0, layout.n + 1).sqrt()
    return Ranking(ranks, scores, weight_errors=1.0 - kept)
