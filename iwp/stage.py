"""One cut of a forward pass: the choice of rows, and what layers after it are called with."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from iwp.chosen import Chosen
from iwp.measure import Stopwatch
from iwp.prompt import Entered, Memory
from iwp.pruners.base import Choice, Pruner
from iwp.shortened import CutCache, Shortened
from iwp.step import Step
from iwp.support import cache_in, check_bias, kernel_of
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
        chosen: Chosen | None = None
        if step.visual is not None:
            chosen = self._chosen(step, step.visual, now, previous)
            args = (chosen.rewritten(args[0]), *args[1:])
        rows = None if chosen is None else chosen.rows
        cache = cache_in(call)
        before = step.before
        if chosen is not None and rows is not None:
            before = step.after(rows, chosen.bias(args[0]))
            if cache is not None:
                self._by_cache[cache] = before
            if step.deepstack is not None:
                step.deepstack.cut(rows, self.layer)
            args = (rows.take(args[0]), *args[1:])
        if before.read:
            columns = before.columns(step.mask, step.bias, step.total)
            past, new = step.past - step.before.removed, args[0].shape[1]
            self._short = Shortened(self._kernel, rows, columns, past, new)
            args, call = self._short(layer, args, call)
            step = step.shortened(chosen, columns)
        if self._following is not None:
            step.before = self._following.before(cache if step.past else None)
            self._following.expect(step)
        return args, call

    def after_cut(self, layer: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> Any:
        """Shorten what the layers after that are given."""
        return None if self._short is None else self._short(layer, args, call)

    @torch.no_grad()  # the choice alone: the rows that go on keep their gradients
    def _chosen(self, step: Step, visual: Tensor, now: Entered, previous: Entered | None) -> Chosen:
        """What the method leaves of every prompt."""
        hidden = now.args[0]
        stays = step.new_rows(visual)
        choices: list[Choice] = []
        cuts: list[Cut] = []
        places: list[Tensor] = []
        for row, shown in enumerate(visual):
            found = shown.nonzero().flatten()
            if row and _same_prompt(row, stays, visual, hidden):
                # A beam, or another answer to one prompt.
                choices.append(choices[-1])
                cuts.append(replace(cuts[-1], seconds=0.0))
            elif found.shape[0] == 0:
                choices.append(Choice(found))
                cuts.append(Cut(self.layer, found.cpu()))
            else:
                prompt = step.prompt(row, found, stays[row], self._final_norm)
                watch = Stopwatch(hidden.device)
                choice = self._pruner.choose(prompt.view(*now, row, previous))
                choice = replace(choice, kept=choice.kept.cpu())  # the only wait
                if choice.sizes is not None:
                    check_bias(self._kernel, again=step.bias is not None)
                choices.append(choice)
                cut = step.cut(self.layer, row, choice)
                cuts.append(replace(cut, seconds=cut.seconds + watch.seconds()))
            places.append(found[choices[-1].kept])
        self._trace.cuts += cuts
        return Chosen.of(stays, visual, choices, cuts, places)


def stages_of(decoder: Any, pruner: Pruner, trace: Trace) -> list[Stage]:
    """A stage for every cut of a method that happens in this decoder, first to last."""
    stages: list[Stage] = []
    for cut in reversed(pruner.cuts):
        if cut.layer < len(decoder.layers):
            stages.insert(0, Stage(decoder, cut, trace, stages[0] if stages else None))
    return stages


def biases_of(stages: Sequence[Stage], cache: Any) -> dict[int, Tensor]:
    """What cuts add to the attention scores of a cache's keys.

    Returns:
        For layers of cuts, ascending: (B, columns) float32 for the first columns of the cache, from
        there up to the next of these layers. Later columns have no bias.
    """
    found = {stage.layer: stage.before(cache).left.bias for stage in stages}
    return {layer: bias for layer, bias in found.items() if bias is not None}


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
