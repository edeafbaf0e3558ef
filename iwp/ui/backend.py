"""What the page needs of an engine: `iwp.engine.Engine` has it, and so does `ForkedEngine`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from iwp.adapters.base import VLM
    from iwp.events import Event, Ranked
    from iwp.pruners.base import Pruner
    from iwp.results import RunResult
    from iwp.session import Session
    from iwp.types import Convention, Media


class PageRun(Protocol):
    """One run: see `iwp.run.Run`."""

    def stop(self) -> None:
        """End the run soon. Returns at once: it is called on the server's event loop."""

    def updates(self, hz: float = 20.0) -> Iterator[Event]:
        """The events, texts thinned out to `hz` a second."""

    def result(self) -> RunResult:
        """Wait for the end of the run."""


class Backend(Protocol):
    """Runs comparisons: see `iwp.engine.Engine`."""

    glimpse_s: float | None

    @property
    def vlm(self) -> VLM:
        """The model that answers. Raises `ModelError` while another one is being loaded."""

    @property
    def switchable(self) -> bool:
        """Whether another model may take its place."""

    @property
    def source(self) -> str:
        """The name that the model was loaded by."""

    @property
    def device_name(self) -> str:
        """Where the model runs, for people."""

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
    ) -> PageRun:
        """Start a comparison."""

    def repruned(self, session: Session, budget: float) -> PageRun:
        """Start every side that has a method again at another budget."""

    def glimpse(self, media: Media, question: str, budget: float) -> Ranked | None:
        """Rank the tokens of a camera's frame; None while the device is busy."""

    def sweep(self, session: Session) -> PageRun:
        """Start answering at a row of budgets."""

    def switch(self, model: str, name: str) -> PageRun:
        """Start loading another model in place of this one; people know it by `name`."""
