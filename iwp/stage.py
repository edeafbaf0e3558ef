"""One cut of a forward pass: the choice of rows, and what layers after it are called with."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from iwp.measure import Stopwatch
from iwp.prompt import Entered, Memory, Prompt
from iwp.pruners.base import Pruner
from iwp.rows import Rows
from iwp.shortened import CutCache, Shortened
from iwp.step import Step
from iwp.support import kernel_of
from iwp.types import Cut, Trace

_UNCUT = CutCache()


class Stage:
    """A cut before one decoder layer, and what it remembers from one forward pass to the next.

    Attributes:
        layer: the decoder layer.
        memory: of the layer before, for a method that looks back.
    """

    def __init__(
        self, decoder: Any, pruner: Pruner, trace: Trace, following: Stage | None = None
    ) -> None:
        self.layer = pruner.layer
        self.memory = Memory()
        self._kernel = kernel_of(decoder)
        self._final_norm = decoder.norm
        self._pruner = pruner
        self._trace = trace
        self._following = following
        self._step: Step | None = None
        self._short: Shortened | None = None
        self._by_cache: weakref.WeakKeyDictionary[Any, CutCache] = weakref.WeakKeyDictionary()

    def before(self, cache: Any) -> CutCache:
        """What this cut has taken out of a cache; None stands for an empty cache."""
        return _UNCUT if cache is None else self._by_cache.get(cache, _UNCUT)

    def hooks(self, decoder: Any) -> Iterator[tuple[nn.Module, Callable[..., Any]]]:
        """The layers that this cut has to do with, each with its forward pre-hook."""
        if self._pruner.looks_back:
            yield decoder.layers[self.layer - 1], self.memory
        yield decoder.layers[self.layer], self.at_cut
        for later in decoder.layers[self.layer + 1 :]:
            yield later, self.after_cut

    def expect(self, step: Step | None) -> None:
        """Say what is about to reach the layer; None: nothing that has to do with a cut."""
        self._step, self._short = step, None
        if self._following is not None:
            self._following.expect(None)

    def at_cut(self, layer: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> Any:
        """Drop rows of a new prompt, and shorten what the first layer after the cut is given."""
        step, self._step = self._step, None
        previous = self.memory.take()
        if step is None:
            return None
        now = Entered(layer, args, call)
        rows: Rows | None = None
        kept: Sequence[Tensor] = ()
        if step.visual is not None:
            rows, kept = self._chosen(step, step.visual, now, previous)
        cache = call.get("past_key_values")
        before = step.before
        if rows is not None:
            before = step.after(rows)
            if cache is not None:
                self._by_cache[cache] = before
            if step.deepstack is not None:
                step.deepstack.cut(rows, self.layer)
            args = (rows.take(args[0]), *args[1:])
        if rows is not None or before.removed:
            real = before.real_rows(step.mask, step.total)
            self._short = Shortened(self._kernel, rows, real, step.past - step.before.removed)
            args, call = self._short.reading(args, call)
            step = step.shortened(rows, kept, real)
        if self._following is not None:
            step.before = self._following.before(cache if step.past else None)
            self._following.expect(step)
        return None if self._short is None else (args, call)

    def after_cut(self, _: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> Any:
        """Shorten what the layers after that are given."""
        return None if self._short is None else self._short.reading(args, call)

    @torch.no_grad()  # the choice alone: the rows that go on keep their gradients
    def _chosen(
        self, step: Step, visual: Tensor, now: Entered, previous: Entered | None
    ) -> tuple[Rows | None, Sequence[Tensor]]:
        """The rows that go on, or None where all do, and the tokens kept of every prompt."""
        hidden = now.args[0]
        stays = step.new_rows(visual)
        goes_on = stays & ~visual
        kept: list[Tensor] = []
        for row, shown in enumerate(visual):
            places = shown.nonzero().flatten()
            if row and _same_prompt(row, stays, visual, hidden):
                # A beam, or another answer to one prompt.
                kept.append(kept[-1])
                self._trace.cuts.append(replace(self._trace.cuts[-1], seconds=0.0))
            elif places.shape[0] == 0:
                kept.append(places)
                self._trace.cuts.append(Cut(self.layer, places.cpu()))
            else:
                prompt = Prompt.of(
                    hidden.shape[1],
                    places,
                    stays[row][None],
                    step.separators[row],
                    self._final_norm,
                    step.sizes[row],
                )
                watch = Stopwatch(hidden.device)
                choice = self._pruner.choose(prompt.view(*now, row, previous))
                kept.append(choice.kept.to(places.device))
                cut = step.cut(self.layer, row, choice.kept, choice.scores)
                self._trace.cuts.append(replace(cut, seconds=watch.seconds()))
            goes_on[row, places[kept[-1]]] = True
        return (None if torch.equal(goes_on, stays) else Rows.packed(goes_on)), kept


def stages_of(decoder: Any, pruner: Pruner, trace: Trace) -> list[Stage]:
    """A stage for every cut of a method that happens in this decoder, first to last."""
    stages: list[Stage] = []
    for cut in reversed(pruner.cuts):
        if cut.layer < len(decoder.layers):
            stages.insert(0, Stage(decoder, cut, trace, stages[0] if stages else None))
    return stages


@contextmanager
def hooked(decoder: Any, stages: Sequence[Stage]) -> Iterator[None]:
    """Let the decoder's layers call the stages. A later stage sees what earlier ones have left."""
    with ExitStack() as stack:
        for stage in stages:
            for module, hook in stage.hooks(decoder):
                handle = module.register_forward_pre_hook(hook, with_kwargs=True)
                stack.callback(handle.remove)
        yield


def _same_prompt(row: int, *tables: Tensor) -> bool:
    """Whether this row of a batch equals the one before it in all tables."""
    return all(torch.equal(table[row], table[row - 1]) for table in tables)
