"""An engine for hosts that lend a GPU to one function call at a time, in a forked process.

There the run lives in another process than the page: its stop flag and its lock cannot be reached,
and only what is pickled comes back. So a whole comparison is one call of one generator, and
stopping it means closing that generator. Events carry CPU tensors only.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iwp.errors import IWPError, ModelError
from iwp.events import Event, Ranked
from iwp.results import RunResult
from iwp.run import result_of
from iwp.types import Convention, Media
from iwp.ui import text

if TYPE_CHECKING:
    from iwp.engine import Engine
    from iwp.pruners.base import Pruner
    from iwp.run import Run
    from iwp.session import Session

_OPTIONS = ("method", "against", "convention", "max_new_tokens", "temperature")

Lend = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Refused:
    """An error's sentence: such hosts pass on the kind of an error, not its text."""

    sentence: str


class ForkedRun:
    """The page's end of a run in another process: what the page uses of `iwp.run.Run`."""

    def __init__(self, events: Generator[Event | Refused, None, None]) -> None:
        self._events = events
        self._stopped = False

    def stop(self) -> None:
        """End the run at its next event. Only sets a flag."""
        self._stopped = True

    def updates(self, hz: float = 20.0) -> Iterator[Event]:  # noqa: ARG002 - thinned out over there
        """The events until the end or until `stop()`."""
        try:
            for event in self._events:
                if self._stopped:
                    return
                if isinstance(event, Refused):
                    raise IWPError(event.sentence)
                yield event
        finally:
            self._events.close()

    def result(self) -> RunResult:
        """Wait for the end of the run.

        Raises:
            IWPError: the run was stopped or failed.
        """
        return result_of(self.updates())


class ForkedEngine:
    """Looks like `Engine` to the page; every run is one call of a lent generator.

    Its model stays: a fork has the weights that were there when the page started. There are no
    glimpses: a device that is lent call by call gives no camera's rate.
    """

    switchable = False
    glimpse_s: float | None = None

    def __init__(self, engine: Engine, lend: Lend) -> None:
        """`lend` decorates a generator so that it runs where the GPU is."""
        self.vlm = engine.vlm
        self.source = engine.source
        self.device_name = engine.device_name

        def events(start: Callable[[], Run]) -> Generator[Event | Refused, None, None]:
            try:
                yield from start().updates()
            except IWPError as error:
                yield Refused(str(error))

        def compare(
            media: Media, question: str, budget: float, *sides: Any
        ) -> Generator[Event | Refused, None, None]:
            options = dict(zip(_OPTIONS, sides, strict=True))
            yield from events(lambda: engine.compare(media, question, budget, **options))

        def repruned(*given: Any) -> Generator[Event | Refused, None, None]:
            yield from events(lambda: engine.repruned(*given))

        def sweep(session: Session) -> Generator[Event | Refused, None, None]:
            yield from events(lambda: engine.sweep(session))

        self._compare = lend(compare)
        self._repruned = lend(repruned)
        self._sweep = lend(sweep)

    def compare(
        self,
        media: Media,
        question: str,
        budget: float,
        *,
        method: Pruner | None = None,
        against: Pruner | None = None,
        convention: Convention = "cut",
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
    ) -> ForkedRun:
        """As `Engine.compare`; refusals come with the first event."""
        given = (method, against, convention, max_new_tokens, temperature)
        return ForkedRun(self._compare(media, question, budget, *given))

    def repruned(self, session: Session, budget: float) -> ForkedRun:
        """As `Engine.repruned`; refusals come with the first event."""
        return ForkedRun(self._repruned(session, budget))

    def glimpse(self, media: Media, question: str, budget: float) -> Ranked | None:  # noqa: ARG002
        """None: see the class."""
        return None

    def sweep(self, session: Session) -> ForkedRun:
        """As `Engine.sweep`."""
        return ForkedRun(self._sweep(session))

    def switch(self, model: str, name: str) -> ForkedRun:  # noqa: ARG002 - whatever it is
        """Refuses: see `switchable`.

        Raises:
            ModelError: always.
        """
        raise ModelError(text.NO_SWITCH)
