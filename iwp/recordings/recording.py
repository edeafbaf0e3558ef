"""One example's comparison as it was recorded, and all that were recorded together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from iwp import wording
from iwp.media import open_picture
from iwp.pruners import IWP
from iwp.results import Sweep, SweepPoint
from iwp.video import open_video

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.results import RunResult
    from iwp.types import Media, Ranking, VisualLayout


@dataclass(frozen=True)
class Circumstances:
    """When, where and with what timings were taken.

    Attributes:
        date: the day, such as 2026-05-17.
        machine: processor or GPU, for people.
        numbers: the type that the model computed with, such as float32.
        turns: how many times each side answered; the fastest counts.
        versions: of Python and of the packages that matter, by name.
    """

    date: str
    machine: str
    numbers: str
    turns: int
    versions: Mapping[str, str]

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        best = f"the fastest of {self.turns} runs" if self.turns > 1 else "one run"
        return f"{self.date}, {self.machine}, {self.numbers}, {versions}; {best} each"


@dataclass(frozen=True)
class Recording:
    """A picture or clip and its question, ranked and answered at several budgets.

    The left side read every visual token, the right one what IWP keeps, as the model recommends.

    Attributes:
        file: name of the example's file.
        digest: of its bytes.
        question: what was asked.
        layout: where the visual tokens lie.
        ranking: the order in which IWP keeps them.
        results: one for each budget, the highest first.
        made: the circumstances of the timings.
    """

    rival: ClassVar[None] = None  # the left side has no ranking: see `iwp.events.Ranked`

    file: str
    digest: str
    question: str
    layout: VisualLayout
    ranking: Ranking
    results: tuple[RunResult, ...]
    made: Circumstances

    def at(self, budget: float) -> RunResult | None:
        """The result at a budget; None where none was recorded."""
        return self._by_budget.get(_step(budget))

    def media(self, file: Path) -> Media:
        """The example as the model was shown it: the picture, or as many frames of the clip.

        Raises:
            InputError: the file cannot be read.
        """
        times = self.results[0].times
        return open_picture(file) if times is None else open_video(file, len(times))

    def nearest(self, budget: float) -> float:
        """The recorded budget that is next to this one."""
        return min((result.budget for result in self.results), key=lambda b: abs(b - budget))

    def sweep(self) -> Sweep:
        """All budgets in a row. Each answer has read every layer: none was shared."""
        results = self.results
        first = results[0]
        # With every token the left side is the plain answer: nothing was chosen for it.
        answers = [one.baseline if one.budget == 1.0 else one.pruned for one in results]
        whole = first.baseline.answer
        return Sweep(
            points=tuple(
                SweepPoint(
                    budget=one.budget,
                    answer=answer,
                    own_prefill_s=answer.timing.prefill_s,
                    kept_share=one.kept_share,
                    layer_average=one.layer_average,
                    fidelity=one.fidelity,
                    agreement=wording.agreement(whole, answer.answer),
                )
                for one, answer in zip(results, answers, strict=True)
            ),
            out_of_reach=(),
            planned=len(results),
            n_visual=first.n_visual,
            encode_s=first.baseline.timing.encode_s,
            shared_s=0.0,
            shared_layers=0,
            method=first.method,
            convention=first.convention,
            model=first.model,
            device=first.device,
            attention=first.attention,
        )

    @cached_property
    def _by_budget(self) -> dict[int, RunResult]:
        return {_step(result.budget): result for result in self.results}


@dataclass(frozen=True)
class Recordings:
    """What one model was asked on one occasion.

    Attributes:
        model: its name.
        digest: of its files: see `iwp.recordings.digest.of_model`.
        attention: its attention kernel.
        device: where it ran.
        layers: of its decoder.
        options: IWP's, the budget apart.
        made: the circumstances of the timings.
        entries: the examples.
    """

    model: str
    digest: str
    attention: str
    device: str
    layers: int
    options: Mapping[str, Any]
    made: Circumstances
    entries: tuple[Recording, ...] = field(default=())

    def method(self, budget: float) -> IWP:
        """The right side's method at a budget."""
        return IWP(**self.options, budget=budget)

    def of(self, digest: str, question: str) -> Recording | None:
        """What was recorded of the example with this file and question.

        Args:
            digest: of the file's bytes: see `iwp.recordings.digest.of_file`.
            question: as it was recorded.
        """
        same = (digest, question)
        return next((one for one in self.entries if (one.digest, one.question) == same), None)


def _step(budget: float) -> int:
    return round(1000 * budget)  # the slider's steps, whatever rounding a browser has done
