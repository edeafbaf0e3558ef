"""One question of the exam, answered by a model at one setting or at many."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from iwp.adapters.base import VLM, Inputs
from iwp.budget import keep_count
from iwp.errors import InputError
from iwp.generate import Prefill, decode
from iwp.layer_average import layer_average
from iwp.mmr import ranks_of
from iwp.pruners import Choice, LayerView, Pruner
from iwp.pruning import prune
from iwp.scenes.together import decode_together
from iwp.trunk import Trunk
from iwp.types import Ranking, Trace

MAX_NEW_TOKENS = 6
_TOGETHER = 16  # prompts decoded as one batch; more gain little and need memory


@dataclass(frozen=True)
class Answer:
    """What a model said, and of which visual tokens.

    Attributes:
        text: the greedy answer.
        kept: ascending numbers of the visual tokens left after the last cut; None: all.
        layer_average: the share of the visual tokens that a layer read on average.
    """

    text: str
    kept: Tensor | None
    layer_average: float


@torch.no_grad()
def answer(vlm: VLM, inputs: Inputs, pruner: Pruner | None) -> Answer:
    """By stock `generate()`.

    Raises:
        InputError: the model's decoder reads more than embeddings, which `generate()` takes no
            other way.
    """
    if inputs["positions"] is not None or inputs["extra"]:
        raise InputError("generate() cannot be given this model's positions.")
    embeds, visual = inputs["embeds"], inputs["visual"]
    call: dict[str, Any] = {
        "inputs_embeds": embeds,
        "attention_mask": torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device),
    }
    call |= {"max_new_tokens": MAX_NEW_TOKENS, "do_sample": False}
    if pruner is None:
        ids, trace = vlm.model.generate(**call)[0].tolist(), Trace()
    else:
        with prune(vlm.model, pruner, visual=visual, tower=inputs["tower"]) as trace:
            ids = vlm.model.generate(**call)[0].tolist()
    return _answer(vlm, ids, trace, len(visual))


class Shared:
    """Answers one question at many settings, and does nothing twice.

    The layers before a cut run once for all settings that cut there; a nested method ranks once,
    and its budgets are prefixes; settings that keep the same tokens have one answer; answers are
    decoded together.
    """

    def __init__(self, vlm: VLM, inputs: Inputs) -> None:
        self._vlm, self._inputs = vlm, inputs
        self._trunks: dict[int, Trunk] = {}
        self._views: dict[Hashable, LayerView] = {}
        self._ranks: dict[Pruner, Tensor] = {}

    @torch.no_grad()
    def answers(self, pruners: Sequence[Pruner | None]) -> list[Answer]:
        """One for each setting, None standing for all visual tokens: as `answer` gives them."""
        layers = len(self._vlm.adapter.decoder_layers)
        cutting = [p if p is not None and p.layer < layers else None for p in pruners]
        deepest = max((p.layer for p in cutting if p is not None), default=0)
        tasks: list[Hashable] = []
        todo: dict[Hashable, tuple[int, Pruner | None]] = {}
        for pruner in cutting:
            given = None if pruner is None else self._given(pruner)
            layer = deepest if given is None else given.layer
            key = (given.layer, given.kept) if isinstance(given, Given) else given
            todo.setdefault(key, (layer, given))
            tasks.append(key)
        found: dict[Hashable, Answer] = {}
        for keys in _batches(todo):
            states = [self._trunk(todo[key][0]).prefill(todo[key][1]) for key in keys]
            found |= zip(keys, self._decoded(states), strict=True)
        return [found[key] for key in tasks]

    def kept(self, pruner: Pruner) -> tuple[int, ...]:
        """What `pruner.choose` keeps at its first cut."""
        view = self._view(pruner)
        if not pruner.nested or pruner.merges or pruner.budget == "auto":
            return tuple(pruner.choose(view).kept.tolist())
        whole = replace(pruner, budget=1.0)
        if whole not in self._ranks:
            self._ranks[whole] = whole.rank(view).ranks
        keep = keep_count(view.n, float(pruner.budget))
        return tuple((self._ranks[whole] < keep).nonzero().flatten().tolist())

    def _given(self, pruner: Pruner) -> Pruner:
        """The method's choice made, where choosing is all that it does."""
        if pruner.merges or len(pruner.cuts) > 1:
            return pruner
        return Given(layer=pruner.layer, kept=self.kept(pruner))

    def _view(self, pruner: Pruner) -> LayerView:
        looks = (pruner.looks_back, pruner.needs_tower, pruner.needs_embeddings)
        key = (pruner.layer, *looks)
        if key not in self._views:
            self._views[key] = self._trunk(pruner.layer).view(pruner)
        return self._views[key]

    def _trunk(self, layer: int) -> Trunk:
        if layer not in self._trunks:
            self._trunks[layer] = Trunk(self._vlm.model, **self._inputs, layer=layer)
        return self._trunks[layer]

    def _decoded(self, states: list[Prefill]) -> list[Answer]:
        vlm, n = self._vlm, len(self._inputs["visual"])
        how = (MAX_NEW_TOKENS, vlm.adapter.stop_ids)
        if len(states) == 1 or vlm.attention != "sdpa":
            said = [list(decode(vlm.model, state, *how)) for state in states]
        else:
            said = decode_together(vlm.model, states, *how)
        return [_answer(vlm, ids, state.trace, n) for ids, state in zip(said, states, strict=True)]


@dataclass(frozen=True)
class Given(Pruner):
    """Keeps these tokens: a choice that was made before."""

    name: ClassVar[str] = "given"
    kept: tuple[int, ...] = ()

    def choose(self, view: LayerView) -> Choice:
        """See `Pruner.choose`. The budget says nothing."""
        return Choice(torch.tensor(self.kept, dtype=torch.int64, device=view.visual.device))

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`. What is kept comes first, in prompt order."""
        stays = torch.zeros(view.n, device=view.visual.device)
        stays[list(self.kept)] = 1.0
        order = stays.argsort(descending=True, stable=True)
        return Ranking(ranks=ranks_of(order), scores=stays)


def _batches(keys: Iterable[Hashable]) -> Iterator[list[Hashable]]:
    """Choices of one size before one layer together, whose caches are equally long."""
    batches: dict[Hashable, list[Hashable]] = {}
    for key in keys:
        alike = (key[0], len(key[1])) if isinstance(key, tuple) else key
        batches.setdefault(alike, []).append(key)
    for batch in batches.values():
        for start in range(0, len(batch), _TOGETHER):
            yield batch[start : start + _TOGETHER]


def _answer(vlm: VLM, ids: Sequence[int], trace: Trace, n: int) -> Answer:
    cuts = trace.cuts
    plan = [(cut.layer, len(cut.kept)) for cut in cuts]
    average = layer_average(plan, n, len(vlm.adapter.decoder_layers))
    return Answer(vlm.adapter.decode_text(ids), cuts[-1].kept if cuts else None, average)
