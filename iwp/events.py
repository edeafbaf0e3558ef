"""What a run says while it works. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from iwp.results import RunResult, Sweep
    from iwp.session import Session
    from iwp.types import Answer, Ranking, Side, VisualLayout


@dataclass(frozen=True)
class Stage:
    """The run went on to its next piece of work; `waiting` means another run has the device.

    The second row is of `Engine.switch`; `returning` means that the old model is loaded again.
    """

    name: (
        Literal["waiting", "encoding", "ranking", "baseline", "pruned", "sweeping"]
        | Literal["freeing", "loading", "warming", "returning"]
    )


@dataclass(frozen=True)
class Ranked:
    """The picture is encoded and its tokens are ranked: the overlay can be drawn.

    `session` already serves `Engine.repruned`; `rival` is the order of the left side's method,
    where it has one.
    """

    session: Session
    layout: VisualLayout
    ranking: Ranking
    rival: Ranking | None = None


@dataclass(frozen=True)
class Text:
    """The answer of one side so far (the whole text, not the last piece)."""

    side: Side
    text: str


@dataclass(frozen=True)
class SideDone:
    """One side is finished, or was ended by `stop()` or the deadline (see `answer.finish`).

    `session` holds the baseline answer as soon as there is one, but not a rival's, which is another
    one at every budget. `kept` are the ascending numbers of the visual tokens that the side's last
    cut left.
    """

    side: Side
    answer: Answer
    session: Session
    kept: tuple[int, ...] = ()


@dataclass(frozen=True)
class Done:
    """Both sides are there. The last event of a run that nobody stopped."""

    result: RunResult
    session: Session


@dataclass(frozen=True)
class Swept:
    """What a sweep has so far, told after each budget; `ended` says why no more will come."""

    sweep: Sweep
    ended: Literal["done", "stopped", "deadline"] | None


Event = Stage | Ranked | Text | SideDone | Done | Swept
