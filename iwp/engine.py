"""One question, answered with every visual token and with the kept ones. Owns the device lock."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from PIL import Image

from iwp import generate, measure
from iwp.adapters import load
from iwp.answering import answer
from iwp.budget import check_budget
from iwp.errors import InputError, IWPError
from iwp.events import Done, Ranked, SideDone, Stage
from iwp.options import check_options
from iwp.pruners import PRUNERS
from iwp.question import clean
from iwp.run import Run
from iwp.session import Session
from iwp.settings import Settings
from iwp.types import Media, RunResult
from iwp.verdict import judge, scale_warning

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from typing import Any

    from iwp.adapters.base import VLM
    from iwp.budget import Budget
    from iwp.events import Event
    from iwp.pruners.base import Pruner
    from iwp.run import Brake

_WARM_UP_SIZE = (640, 480)


class Engine:
    """Runs comparisons on one model, one at a time, from any number of threads."""

    def __init__(self, vlm: VLM, settings: Settings | None = None) -> None:
        self.vlm = vlm
        self.settings = settings or Settings()
        self._device = threading.Lock()
        self._threads = measure.cpu_threads(vlm.model, vlm.device, self.settings.threads)

    @classmethod
    def load(cls, settings: Settings) -> Engine:
        """An engine for the model that the settings name.

        Raises:
            ModelError: the model cannot be loaded.
        """
        return cls(load(settings.model, **settings.loading), settings)

    @property
    def device_name(self) -> str:
        """Where the model runs, for people: "cpu", or "cuda:0 (NVIDIA H200)"."""
        return measure.device_name(self.vlm.device)

    def warm_up(self) -> None:
        """Answers one plain picture, so that the first person's timings are honest."""
        blank = Media((Image.new("RGB", _WARM_UP_SIZE, "gray"),))
        self.compare(blank, "What is this?", 0.5, max_new_tokens=2).result()

    def compare(
        self,
        media: Media,
        question: str,
        budget: Budget,
        *,
        method: Pruner | None = None,
        max_new_tokens: int | None = None,
    ) -> Run:
        """Starts a comparison and returns at once.

        Events: Stage..., Ranked, Text("baseline")..., SideDone("baseline"), Text("pruned")...,
        SideDone("pruned"), Done. The picture is encoded once; the ranking is a pass of its own,
        outside the timed runs, so that the overlay is there before the first word.

        Args:
            media: the picture.
            question: what to ask about it.
            budget: fraction of the visual tokens to keep, or "auto" for a method that finds its
                own; replaces the method's.
            method: IWP with the model's recommended settings unless given.
            max_new_tokens: longest answer; the settings' unless given.

        Raises:
            InputError: the question or the budget cannot be used (at once, in the caller).
        """
        pruner = self._method(method, budget)
        limit = self.settings.max_new_tokens if max_new_tokens is None else max_new_tokens
        if limit < 1:
            raise InputError(f"An answer needs at least 1 token, not {limit}.")
        return self._start(partial(self._compare, media, clean(question), pruner, limit))

    def repruned(self, session: Session, budget: float) -> Run:
        """Answers only the pruned side again, at another budget: Text..., SideDone, Done.

        A session without a baseline answer gets that one first.

        Raises:
            InputError: the budget cannot be used.
        """
        pruner = self._method(session.method, budget)
        return self._start(partial(self._answers, session, pruner))

    def rank(self, media: Media, question: str, *, method: Pruner | None = None) -> Ranked:
        """Ranks the visual tokens and answers nothing. Waits for the device.

        Raises:
            InputError: the question cannot be used.
        """
        # Every budget of a nested method has one ranking; the others rank at a budget of their own.
        budget = 1.0 if method is None or method.nested else method.budget
        pruner = self._method(method, budget)
        limit = self.settings.max_new_tokens
        run = self._start(partial(self._rank, media, clean(question), pruner, limit))
        ranked = [event for event in run if isinstance(event, Ranked)]
        return ranked[0]

    @staticmethod
    def updates(run: Run, hz: float = 20.0) -> Iterator[Event]:
        """The events of `run` for a page: see `Run.updates`."""
        return run.updates(hz)

    def _method(self, method: Pruner | None, budget: Budget) -> Pruner:
        if budget != "auto":
            budget = check_budget(budget)
        return replace(method, budget=budget) if method else choose_method(self.vlm, budget)

    def _start(self, work: Callable[[Brake], Iterator[Event]]) -> Run:
        return Run(partial(self._on_device, work), self._device, self.settings.deadline_s)

    def _on_device(self, work: Callable[[Brake], Iterator[Event]], brake: Brake) -> Iterator[Event]:
        try:
            with torch.no_grad(), measure.threads(self._threads):
                yield from work(brake)
        except torch.OutOfMemoryError:
            raise IWPError(
                f"{self.device_name} ran out of memory; try a smaller picture or a smaller model."
            ) from None

    def _rank(
        self, media: Media, question: str, pruner: Pruner, limit: int, brake: Brake
    ) -> Generator[Event, None, Session]:
        vlm = self.vlm
        yield Stage("encoding")
        brake.check()
        # Here and not in the caller: a tokenizer keeps state, and runs of others may be using it.
        prepared = vlm.adapter.prepare(media, clean(question, vlm.processor.tokenizer))
        brake.check()
        watch = measure.Stopwatch(vlm.device)
        features = vlm.adapter.encode(prepared)
        encode_s = watch.seconds()
        brake.check()
        yield Stage("ranking")
        inputs = vlm.adapter.inputs(prepared, features)
        ranking = generate.rank(vlm.model, **inputs, pruner=pruner, check=brake.check, errors=True)
        session = Session(prepared, features.cpu(), encode_s, ranking, pruner, limit)
        yield Ranked(session, prepared.layout, ranking)
        return session

    def _ranked_again(self, session: Session, pruner: Pruner, brake: Brake) -> Session:
        """The session at another budget of a method whose selections are not nested."""
        inputs = self.vlm.adapter.inputs(session.prepared, session.features.to(self.vlm.device))
        ranking = generate.rank(
            self.vlm.model, **inputs, pruner=pruner, check=brake.check, errors=True
        )
        return replace(session, ranking=ranking, method=pruner)

    def _compare(
        self, media: Media, question: str, pruner: Pruner, limit: int, brake: Brake
    ) -> Iterator[Event]:
        session = yield from self._rank(media, question, pruner, limit, brake)
        yield from self._answers(session, pruner, brake)

    def _answers(self, session: Session, pruner: Pruner, brake: Brake) -> Iterator[Event]:
        baseline = session.baseline
        if baseline is None:
            yield Stage("baseline")
            whole = yield from answer(self.vlm, session, "baseline", None, brake)
            baseline = whole.answer
            if baseline.finish == "stopped":
                yield SideDone("baseline", baseline, session)
                return
            session = replace(session, baseline=baseline, first_logits=whole.first_logits)
            yield SideDone("baseline", baseline, session)
        if not pruner.nested and pruner != session.method:
            session = self._ranked_again(session, pruner, brake)
        yield Stage("pruned")
        cut = yield from answer(self.vlm, session, "pruned", pruner, brake)
        pruned, ranking, n = cut.answer, session.ranking, session.prepared.layout.n
        if len(pruner.cuts) > 1:  # the ranking is the first cut's: it says nothing about the others
            ranking = replace(ranking, weight_errors=None, output_errors=None)
        yield SideDone("pruned", pruned, session)
        if pruned.finish != "stopped":
            result = RunResult(
                baseline=baseline,
                pruned=pruned,
                n_visual=n,
                budget=len(cut.kept) / n if pruner.budget == "auto" else pruner.budget,
                kept=cut.kept,
                ranks=tuple(ranking.ranks.tolist()),
                layout=session.prepared.layout,
                method=repr(pruner),
                model=self.vlm.name,
                device=self.device_name,
                attention=self.vlm.attention,
                fidelity=judge(ranking, baseline, pruned, session.first_logits, cut.first_logits),
                exponent=ranking.exponent,
                warning=scale_warning(ranking.exponent, getattr(pruner, "bandwidth", None)),
            )
            yield Done(result, session)


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
    """
    if name not in PRUNERS:
        raise InputError(f"There is no method {name!r}; choose one of {', '.join(PRUNERS)}.")
    kind = PRUNERS[name]
    chosen = {**kind.suited(len(vlm.adapter.decoder_layers), vlm.pruner), **(options or {})}
    if layer is not None:
        chosen["layer"] = layer
    check_options(kind, chosen)
    return kind(**chosen, budget=budget)
