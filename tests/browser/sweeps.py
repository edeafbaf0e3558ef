"""Sweeps made up for tests of the page: invented answers, honest structure."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from iwp.results import Fidelity, Sweep, SweepPoint
from iwp.sweep import BUDGETS
from iwp.types import Answer
from iwp.wording import agreement


def nothing_swept(n: int, convention: Any = "cut") -> Sweep:
    """A sweep before its first answer."""
    return Sweep(
        points=(),
        out_of_reach=(),
        planned=len(BUDGETS),
        n_visual=n,
        encode_s=0.21,
        shared_s=0.04,
        shared_layers=2,
        method="IWP(layer=2)",
        convention=convention,
        model="fake-model",
        device="cpu",
        attention="sdpa",
    )


def swept(found: Sweep, budget: float, answer: Answer) -> Sweep:
    """The sweep with one budget more."""
    whole = found.points[0].answer if found.points else answer
    point = SweepPoint(
        budget=budget,
        answer=answer,
        own_prefill_s=answer.timing.prefill_s - found.shared_s,
        kept_share=budget,
        layer_average=budget,
        fidelity=Fidelity(1 - budget**0.5, None, 0.1 * (1 - budget), whole.answer == answer.answer),
        agreement=agreement(whole.answer, answer.answer),
    )
    return replace(found, points=(*found.points, point))


def ended(steps: Generator[Any, None, Answer]) -> Answer:
    """The answer that a side ends with; nobody reads along."""
    there: list[Answer] = []

    def noted() -> Generator[Any, None, None]:
        there.append((yield from steps))

    deque(noted(), maxlen=0)
    return there[0]
