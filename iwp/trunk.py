"""The layers before a cut, read once: any number of methods and budgets go on from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from iwp.errors import IWPError
from iwp.generate import Prefill, counted, next_position, prompt_of
from iwp.prompt import Memory, Prompt
from iwp.pruners.base import LayerView, Pruner
from iwp.reading import alone, before, checked, extended, read
from iwp.shortened import CutCache
from iwp.stage import Stage, biases_of, hooked, stages_of
from iwp.step import Step
from iwp.support import cache_argument, decoder_of
from iwp.types import Tower, Trace


class Trunk:
    """A prompt that a model has read up to one decoder layer.

    `prefill` gives what `iwp.generate.prefill` gives with the same pruner, and runs only the
    later layers. For tables of many settings: nothing here is timed alone.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: Any,
        embeds: Tensor,
        visual: Tensor,
        layer: int,
        *,
        positions: Tensor | None = None,
        extra: Mapping[str, Any] | None = None,
        tower: Tower | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Arguments as for `iwp.generate.prefill`; `layer` is the first that is not run.

        Raises:
            IWPError: the model has no such layer, or adds features to later ones.
        """
        decoder = decoder_of(model)
        if not 0 <= layer < len(decoder.layers):
            raise IWPError(f"The model has {len(decoder.layers)} layers: none of number {layer}.")
        if len((extra or {}).get("deepstack_visual_embeds", ())) > layer:
            raise IWPError("This model adds features to later layers: share a later layer.")
        self._model, self._decoder, self._layer = model, decoder, layer
        self._prompt = prompt_of(model, embeds, visual, tower)
        self._embeds = embeds
        self._positions = counted(embeds, positions)
        self._cache = DynamicCache(config=model.config)
        memory = Memory()
        seen = before(decoder.layers[:layer][-1:], memory)
        with alone(model), extended(model, extra), checked(model, check), seen:
            try:
                with before([decoder.layers[layer]], _stop):
                    read(model, self._cache, inputs_embeds=embeds, position_ids=self._positions)
            except _Reached as reached:
                self._args, self._call = reached.args_of_layer, reached.call
        self._previous = memory.take()

    @torch.no_grad()
    def prefill(
        self, pruner: Pruner | None = None, *, check: Callable[[], None] | None = None
    ) -> Prefill:
        """Cut here and read the later layers; without a pruner read them whole.

        `check` is called before each of them; what it raises ends the prefill.

        Raises:
            IWPError: the pruner cuts before another layer.
        """
        trace = Trace(n_visual=[self._prompt.visual.shape[0]])
        stages: list[Stage] = []
        if pruner is not None:
            self._check(pruner)
            stages = stages_of(self._decoder, pruner, trace)
            self._prime(stages[0], self._prompt.seen_by(pruner))
        cache = self._copied()
        call = {**self._call, **cache_argument(self._model, cache)}
        hidden: Tensor = self._args[0]
        with alone(self._model), checked(self._model, check), hooked(self._decoder, stages):
            for layer in self._decoder.layers[self._layer :]:
                hidden = layer(hidden, *self._args[1:], **call)
        last = self._decoder.norm(hidden[:, -1:])
        logits = self._model.get_output_embeddings()(last)[0, -1].float()
        biases = biases_of(stages, cache)
        return Prefill(logits, cache, next_position(self._positions), trace, biases)

    def view(self, pruner: Pruner) -> LayerView:
        """What a method is given to choose by, at its first cut.

        Raises:
            IWPError: the method cuts before another layer.
        """
        self._check(pruner)
        layer = self._decoder.layers[self._layer]
        previous = self._previous if pruner.looks_back else None
        return self._prompt.seen_by(pruner).view(layer, self._args, self._call, previous=previous)

    def _check(self, pruner: Pruner) -> None:
        if pruner.layer != self._layer:
            raise IWPError(f"This prompt was read up to layer {self._layer}.")

    def _prime(self, stage: Stage, prompt: Prompt) -> None:
        """Tell the first stage what it would have seen."""
        visual = torch.zeros(1, prompt.length, dtype=torch.bool, device=prompt.visual.device)
        visual[0, prompt.visual] = True
        step = Step(visual, CutCache(), past=0, new=prompt.length)
        step.separators = (prompt.separators,)
        step.towers = (prompt.tower,)
        if prompt.embeddings is not None:
            step.enter(self._embeds)
        stage.expect(step)
        if self._previous is not None:
            stage.memory(*self._previous)

    def _copied(self) -> DynamicCache:
        """A cache of its own for the later layers and for decoding."""
        cache = DynamicCache(config=self._model.config)
        # New keys go into a tensor of their own, with these before them: tensors can be shared.
        cache.layers[: self._layer] = [copy(one) for one in self._cache.layers[: self._layer]]
        return cache


class _Reached(Exception):
    """Ends the forward pass before the layer, and carries what the layer was called with."""

    def __init__(self, args: tuple[Any, ...], call: dict[str, Any]) -> None:
        super().__init__()
        self.args_of_layer, self.call = args, call


def _stop(_: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> None:
    raise _Reached(args, call)
