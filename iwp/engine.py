"""One question, answered with every visual token and with the kept ones. Owns the device lock."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from iwp import comparison, measure, switching, warming
from iwp import sweep as sweeping
from iwp.contest import Contest
from iwp.errors import InputError, IWPError
from iwp.events import Ranked
from iwp.options import check_decoding, check_options
from iwp.pruners import PRUNERS
from iwp.question import clean
from iwp.run import Brake, Run
from iwp.seat import Seat, loaded
from iwp.settings import Settings
from iwp.tower import watch_of
from iwp.types import Decoding, Media

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from typing import Any

    from iwp.adapters.base import VLM
    from iwp.budget import Budget
    from iwp.events import Event
    from iwp.pruners.base import Pruner
    from iwp.session import Session
    from iwp.types import Convention


class Engine:
    """Runs comparisons on one model, one at a time, from any number of threads.

    Attributes:
        settings: what the operator chose.
        switchable: whether another model may take the model's place.
        glimpse_s: seconds that one `glimpse` takes here; None before the model is warmed up.
    """

    switchable = True

    def __init__(self, vlm: VLM, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._device = threading.Lock()
        self._seat = Seat(vlm, self.settings)
        self.glimpse_s: float | None = None

    @classmethod
    def load(cls, settings: Settings) -> Engine:
        """An engine for the model that the settings name.

        Raises:
            ModelError: the model cannot be loaded.
        """
        return cls(loaded(settings.model, settings), settings)

    @property
    def vlm(self) -> VLM:
        """The model. Keep no hold of it: another one may take its place.

        Raises:
            ModelError: there is none at the moment.
        """
        return self._seat.vlm

    @property
    def source(self) -> str:
        """The name that the model was loaded by."""
        return self._seat.source

    @property
    def device_name(self) -> str:
        """Where the model runs, for people: "cpu", or "cuda:0 (NVIDIA H200)"."""
        return measure.device_name(self._seat.device)

    def warm_up(self) -> None:
        """Answers one plain picture, so that the first person's timings are honest."""
        self._start(self._warmed).result()

    def compare(
        self,
        media: Media,
        question: str,
        budget: Budget,
        *,
        method: Pruner | None = None,
        against: Pruner | None = None,
        convention: Convention = "cut",
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
    ) -> Run:
        """Starts a comparison and returns at once.

        Events: Stage..., Ranked, Text("baseline")..., SideDone("baseline"), Text("pruned")...,
        SideDone("pruned"), Done. The picture is encoded once; the ranking is a pass of its own,
        outside the timed runs, so that the overlay is there before the first word. The side
        "baseline" reads every visual token, or has a method of its own: see `against`.

        Args:
            media: the picture, or frames of a video.
            question: what to ask about it.
            budget: fraction of the visual tokens to keep, or "auto" for a method that finds its
                own; replaces the methods'.
            method: the right side's; IWP with the model's recommended settings unless given.
            against: the left side's; every visual token unless given.
            convention: what the budget is a fraction of, on both sides: "cut", what is left at
                the method's cut, or "average", what a layer reads on average.
            max_new_tokens: longest answer; the settings' unless given.
            temperature: 0 takes the likeliest token each time, more draws: see `Decoding`.

        Raises:
            InputError: the question, the budget or the temperature cannot be used (at once, in the
                caller). A layer average that a method cannot reach is known only when the
                picture's tokens are counted: reading the run raises then.
        """
        vlm = self.vlm
        right = choose_method(vlm, budget) if method is None else method
        contest = Contest(right, against, budget, convention).at(budget)
        limit = self.settings.max_new_tokens if max_new_tokens is None else max_new_tokens
        decoding = self._decoding(limit, temperature)
        comparing = partial(self._compare, vlm.serial, media, clean(question), contest, decoding)
        return self._start(comparing)

    def repruned(self, session: Session, budget: float) -> Run:
        """Answers every side that has a method again, at another budget.

        Events: Stage, Text..., SideDone of each such side, then Done. A session without a baseline
        answer gets that one first.

        Raises:
            InputError: the budget cannot be used, or a method cannot reach it.
        """
        n = session.prepared.layout.n
        contest = comparison.on(self._seat.held(session.serial), session.contest.at(budget), n)
        return self._start(partial(self._answers, session, contest))

    def sweep(self, session: Session, budgets: Iterable[float] = sweeping.BUDGETS) -> Run:
        """Answers with the right side's method at a row of budgets, 100 % among them.

        Events: Stage, then Swept after each budget. The picture's encoding is the session's, and
        the layers before the cut are read once for all budgets. The run has no `result`.

        Raises:
            InputError: a budget cannot be used.
        """
        budgets = sweeping.in_order(budgets)
        self._seat.held(session.serial)
        return self._start(partial(self._sweep, session, budgets))

    def switch(self, model: str, name: str = "") -> Run:
        """Loads another model in place of this one, between two runs.

        Events: Stage "freeing", "loading", "warming". The old model's memory is free before the new
        one is loaded; where that fails, the old one is loaded again ("returning"). The run has no
        `result`; it goes on to its end also when it is stopped. Runs that have not begun and
        sessions of the old model are refused from then on. Refusals call the new one by `name`.

        Raises:
            ModelError: reading the run raises it where the model cannot be loaded, and says which
                one answers now.
        """
        return self._start(lambda _: switching.switch(self._seat, model, self._warmed, name))

    def rank(self, media: Media, question: str, *, method: Pruner | None = None) -> Ranked:
        """Ranks the visual tokens and answers nothing. Waits for the device.

        Raises:
            InputError: the question cannot be used.
        """
        # Every budget of a nested method has one ranking; the others rank at a budget of their own.
        budget = 1.0 if method is None or method.nested else method.budget
        vlm = self.vlm
        pruner = choose_method(vlm, budget) if method is None else method
        contest = Contest(pruner, None, budget).at(budget)
        decoding = self._decoding(self.settings.max_new_tokens)
        ranking = partial(self._rank, vlm.serial, media, clean(question), contest, decoding)
        return self._ranked(ranking)

    def glimpse(self, media: Media, question: str, budget: float) -> Ranked | None:
        """Ranks the visual tokens of a camera's frame, for the eye alone; None while others run.

        Only the encoder and the layers before the cut run, and nothing is measured: a frame that
        would have to wait for the device is better left out than shown late.

        Raises:
            InputError: the question or the budget cannot be used.
        """
        vlm = self.vlm
        contest = Contest(choose_method(vlm, budget), None, budget).at(budget)
        looking = partial(self._rank, vlm.serial, media, clean(question), contest, Decoding(1))
        if not self._device.acquire(blocking=False):
            return None
        try:
            brake = Brake(self.settings.deadline_s)
            brake.start()
            events = list(self._on_device(partial(looking, errors=False), brake))
        finally:
            self._device.release()
        return next(event for event in events if isinstance(event, Ranked))

    def _decoding(self, max_new_tokens: int, temperature: float = 0.0) -> Decoding:
        decoding = check_decoding(max_new_tokens, temperature)
        return replace(decoding, fast=self.settings.fast_decode)

    def _start(self, work: Callable[[Brake], Iterator[Event]]) -> Run:
        return Run(partial(self._on_device, work), self._device, self.settings.deadline_s)

    def _ranked(self, work: Callable[[Brake], Iterator[Event]]) -> Ranked:
        """The ranking that the work tells. Read to the end: the device is free again then."""
        events = list(self._start(work))
        return next(event for event in events if isinstance(event, Ranked))

    def _on_device(self, work: Callable[[Brake], Iterator[Event]], brake: Brake) -> Iterator[Event]:
        try:
            with torch.no_grad(), measure.threads(self._seat.threads):
                yield from work(brake)
        except torch.OutOfMemoryError:
            raise IWPError(
                f"{self.device_name} ran out of memory; try a smaller picture or a smaller model."
            ) from None

    # What waits for the device takes the model only when it has it.

    def _compare(
        self,
        serial: int,
        media: Media,
        question: str,
        contest: Contest,
        decoding: Decoding,
        brake: Brake,
    ) -> Iterator[Event]:
        session = yield from self._rank(serial, media, question, contest, decoding, brake)
        yield from self._answers(session, session.contest, brake)

    def _rank(
        self,
        serial: int,
        media: Media,
        question: str,
        contest: Contest,
        decoding: Decoding,
        brake: Brake,
        errors: bool = True,
    ) -> Generator[Event, None, Session]:
        vlm = self._seat.held(serial)
        given = (vlm, media, question, contest, decoding, brake)
        return (yield from comparison.rank(*given, errors=errors))

    def _answers(self, session: Session, contest: Contest, brake: Brake) -> Iterator[Event]:
        yield from comparison.answers(self._seat.held(session.serial), session, contest, brake)

    def _sweep(self, session: Session, budgets: tuple[float, ...], brake: Brake) -> Iterator[Event]:
        yield from sweeping.sweep(self._seat.held(session.serial), session, budgets, brake)

    def _warmed(self, brake: Brake) -> Iterator[Event]:
        self.glimpse_s = None
        self.glimpse_s = yield from warming.warm(self.vlm, self._decoding(2), brake)


def choose_method(
    vlm: VLM,
    budget: Budget,
    name: str = "iwp",
    layer: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Pruner:
    """The method of this name with the settings that the model's folder recommends for it.

    Args:
        vlm: the model that is to be pruned.
        budget: fraction of the visual tokens to keep, or "auto" for a method that finds it.
        name: a name from `iwp.PRUNERS`.
        layer: the decoder layer to cut before, if not the recommended one.
        options: more of the method's own settings; they win over the recommended ones.

    Raises:
        InputError: there is no such method, or it refuses the budget, the layer or an option.
        ModelError: the method looks at the vision tower, and IWP does not know this model's.
    """
    if name not in PRUNERS:
        raise InputError(f"There is no method {name!r}; choose one of {', '.join(PRUNERS)}.")
    kind = PRUNERS[name]
    if kind.needs_tower:
        watch_of(vlm.model)
    chosen = {**kind.suited(len(vlm.adapter.decoder_layers), vlm.pruner), **(options or {})}
    if layer is not None:
        chosen["layer"] = layer
    check_options(kind, chosen)
    return kind(**chosen, budget=budget)
