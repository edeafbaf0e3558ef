"""One question, answered with every visual token and with the kept ones. Owns the device lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iwp.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iwp.adapters.base import VLM
    from iwp.pruners.base import Pruner
    from iwp.session import Session
    from iwp.settings import Settings
    from iwp.types import Event, Media


class Engine:
    """Runs comparisons on one model, one at a time."""

    def __init__(self, vlm: VLM, settings: Settings | None = None) -> None:
        raise NotImplementedError

    def warm_up(self) -> None:
        """Answers one small picture, so that the first person's timings are honest."""
        raise NotImplementedError

    def compare(
        self,
        media: Media,
        question: str,
        budget: float,
        *,
        method: Pruner | None = None,
        max_new_tokens: int | None = None,
    ) -> Run:
        """Starts a comparison and returns at once.

        Events: Stage..., Ranked, Text("baseline")..., SideDone("baseline"), Text("pruned")...,
        SideDone("pruned"), Done. The picture is encoded once; the ranking is a pass of its own,
        outside the timed runs, so that the overlay is there before the first word.

        Raises:
            InputError: the question or the budget cannot be used (at once, in the caller).
        """
        raise NotImplementedError

    def repruned(self, session: Session, budget: float) -> Run:
        """Answers only the pruned side again, at another budget: Text..., SideDone, Done.

        A session without a baseline answer gets that one first.

        Raises:
            InputError: the budget cannot be used.
        """
        raise NotImplementedError

    @staticmethod
    def updates(run: Run, hz: float = 20.0) -> Iterator[Event]:
        """The events of `run` for a page: see `Run.updates`."""
        return run.updates(hz)
