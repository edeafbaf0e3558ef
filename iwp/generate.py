"""prefill() and decode(): explicit embeddings, positions and cache, one token at a time.

Knows models and tensors; knows nothing about pictures, processors or text. Batch size 1, no
padding.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from iwp import dual
from iwp.errors import IWPError
from iwp.picking import likeliest
from iwp.prompt import Memory, Prompt, separators
from iwp.pruners.base import LayerView, Pruner
from iwp.pruners.errors import error_curve
from iwp.pruners.twins import nearest
from iwp.pruning import pruned
from iwp.reading import alone, before, checked, extended, read
from iwp.stage import biases_of
from iwp.steps import Fast, Growing, onward
from iwp.support import decoder_of
from iwp.types import Ranking, Tower, Trace


@dataclass(frozen=True)
class Prefill:
    """A prompt that the model has read. It can be decoded once: decoding grows the cache.

    Attributes:
        logits: (V,) float32 for the first token of the answer.
        cache: the transformers cache, shorter from the cut layer on.
        next_position: (..., 1, 1) int64 rotary position of the first token of the answer: the one
            that the full prompt gives it.
        trace: what the cut did; without a pruner it holds no cuts.
        biases: what is added to the attention scores of the cache's keys: see
            `iwp.stage.biases_of`.
    """

    logits: Tensor
    cache: Any
    next_position: Tensor
    trace: Trace
    biases: Mapping[int, Tensor] = field(default_factory=dict)


@torch.no_grad()
def prefill(
    model: Any,
    embeds: Tensor,
    visual: Tensor,
    *,
    positions: Tensor | None = None,
    extra: Mapping[str, Any] | None = None,
    tower: Tower | None = None,
    pruner: Pruner | None = None,
    check: Callable[[], None] | None = None,
) -> Prefill:
    """Read a prompt, with a cut where a pruner is given.

    Args:
        model: a transformers vision-language model.
        embeds: (1, S, D) the prompt's embeddings, visual features in place, on the model's device.
        visual: (n,) int64 ascending positions of the visual tokens in the prompt.
        positions: (1, S) or (rows, 1, S) rotary positions; None counts from 0.
        extra: more keyword arguments for the text decoder, such as DeepStack features.
        tower: what the vision tower says of the visual tokens, for methods with `needs_tower`.
        pruner: the method that cuts; None reads every token.
        check: called before every decoder layer; what it raises ends the prefill.

    Raises:
        IWPError: the model or the prompt cannot be cut.
    """
    positions = counted(embeds, positions)
    with alone(model), ExitStack() as stack:
        # First, so that a cut finds the decoder called as stock generate() calls it.
        stack.enter_context(extended(model, extra))
        trace, stages = Trace(n_visual=[visual.shape[0]]), []
        if pruner is not None:
            cutter = stack.enter_context(pruned(model, pruner, visual, tower))
            trace, stages = cutter.trace, cutter.stages
        stack.enter_context(checked(model, check))
        cache = DynamicCache(config=model.config)
        logits = read(model, cache, inputs_embeds=embeds, position_ids=positions)
    return Prefill(logits, cache, next_position(positions), trace, biases_of(stages, cache))


@torch.no_grad()
def decode(
    model: Any,
    state: Prefill,
    max_new_tokens: int,
    stop_ids: Collection[int],
    pick: Callable[[Tensor], int] = likeliest,
    fast: bool = False,
) -> Iterator[int]:
    """An answer, token by token: the model runs for a token only when it is asked for.

    `pick` chooses the next token by its (V,) logits. `fast` reads tokens in caches of fixed size,
    on a GPU as a CUDA graph: see `iwp.steps.onward`. Ends before a token of `stop_ids`, which is
    not yielded, or after `max_new_tokens`. To stop early, ask for no more.
    """
    logits, room = state.logits, max_new_tokens - 1
    steps: Growing | Fast | None = None
    for number in range(max_new_tokens):
        token = pick(logits)
        if token in stop_ids:
            return
        yield token
        if number < room:
            if steps is None:
                position = state.next_position
                steps = onward(model, state.cache, position, state.biases, room, fast)
            logits = steps.read(token)


@torch.no_grad()
def rank(
    model: Any,
    embeds: Tensor,
    visual: Tensor,
    pruner: Pruner,
    *,
    positions: Tensor | None = None,
    extra: Mapping[str, Any] | None = None,
    tower: Tower | None = None,
    check: Callable[[], None] | None = None,
    errors: bool = False,
) -> Ranking:
    """Rank all visual tokens at `pruner.layer`; the layers from there on do not run.

    Arguments as for `prefill`; `errors` measures, for every budget, what the cut loses, and the
    layer's kernel exponent, and finds each token's nearest duplicate. The ranking's tensors are on
    the CPU. A cut at any budget b of the same `nested` method keeps exactly the tokens with
    `rank < keep_count(n, b)`.

    Raises:
        IWPError: the model or the prompt cannot be cut, or it has no layer `pruner.layer`.
    """
    layers = decoder_of(model).layers
    if pruner.layer >= len(layers):
        raise IWPError(f"The model has {len(layers)} layers: none to rank at {pruner.layer}.")
    prompt, memory = prompt_of(model, embeds, visual, tower).seen_by(pruner), Memory()

    def stop(layer: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> None:
        view = prompt.view(layer, args, call, previous=memory.take())
        ranking = pruner.rank(view)
        raise _Ranked(_measured(view, ranking) if errors else ranking)

    cache = DynamicCache(config=model.config)
    seen = [layers[pruner.layer - 1]] if pruner.looks_back else []
    with alone(model), extended(model, extra), checked(model, check), before(seen, memory):
        try:
            with before([layers[pruner.layer]], stop):
                read(model, cache, inputs_embeds=embeds, position_ids=counted(embeds, positions))
        except _Ranked as reached:
            found = reached.ranking
    weight, output, twins = (
        None if measured is None else measured.cpu()
        for measured in (found.weight_errors, found.output_errors, found.twins)
    )
    return replace(
        found,
        ranks=found.ranks.cpu(),
        scores=found.scores.cpu(),
        weight_errors=weight,
        output_errors=output,
        twins=twins,
    )


def _measured(view: LayerView, ranking: Ranking) -> Ranking:
    order = ranking.ranks.argsort()
    return replace(
        ranking,
        weight_errors=error_curve(view, order, "dual_weight"),
        output_errors=error_curve(view, order, "attention_output"),
        twins=nearest(view),
        exponent=dual.median_exponent(view.rotate(view.visual_keys, view.visual)),
    )


@torch.no_grad()
def look(
    model: Any,
    embeds: Tensor,
    visual: Tensor,
    *,
    note: Callable[[int, LayerView], None],
    positions: Tensor | None = None,
    extra: Mapping[str, Any] | None = None,
    tower: Tower | None = None,
) -> None:
    """Read a prompt without a cut, and call `note(layer, view)` before every decoder layer.

    Other arguments as for `prefill`. The views have their `previous` one, too.
    """
    prompt, memory = prompt_of(model, embeds, visual, tower), Memory()
    numbers = {layer: number for number, layer in enumerate(decoder_of(model).layers)}

    def hook(layer: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> None:
        note(numbers[layer], prompt.view(layer, args, call, previous=memory.take()))
        memory(layer, args, call)

    with alone(model), extended(model, extra), before(numbers, hook):
        cache = DynamicCache(config=model.config)
        read(model, cache, inputs_embeds=embeds, position_ids=counted(embeds, positions))


def kernel_exponents(
    model: Any,
    embeds: Tensor,
    visual: Tensor,
    *,
    positions: Tensor | None = None,
    extra: Mapping[str, Any] | None = None,
    tower: Tower | None = None,
) -> tuple[float, ...]:
    """Per decoder layer, the median of ||k_i - k_j||^2 / (2 sqrt d) between visual keys.

    Above about 8 the fixed width of the paper's kernel (Eq. 12) takes every pair of tokens for
    unlike ones and the redundancy penalty does nothing: use `bandwidth="median"` there.
    Arguments as for `prefill`.
    """
    exponents: list[float] = []

    def measure(_: int, view: LayerView) -> None:
        keys = view.rotate(view.visual_keys, view.visual)
        exponents.append(dual.median_exponent(keys))

    look(model, embeds, visual, note=measure, positions=positions, extra=extra, tower=tower)
    return tuple(exponents)


class _Ranked(Exception):
    def __init__(self, ranking: Ranking) -> None:
        super().__init__()
        self.ranking = ranking


def prompt_of(model: Any, embeds: Tensor, visual: Tensor, tower: Tower | None = None) -> Prompt:
    """The rows of a prompt of embeddings (1, S, D) with visual tokens at `visual` (n,)."""
    visual = visual.cpu()  # rows are counted on the host
    ends, norm = separators(model, embeds[0], visual), decoder_of(model).norm
    prompt = Prompt.of(embeds.shape[1], visual, separators=ends, final_norm=norm, tower=tower)
    return prompt.entered(embeds[0, visual], embeds[0])


def counted(embeds: Tensor, positions: Tensor | None) -> Tensor:
    """The positions, or (1, S) int64 counted from 0 where there are none."""
    if positions is not None:
        return positions
    return torch.arange(embeds.shape[1], device=embeds.device)[None]


def next_position(positions: Tensor) -> Tensor:
    """(..., 1, S) rotary positions of a prompt -> (..., 1, 1) of the token that follows."""
    return positions.amax().expand(*positions.shape[:-1], 1) + 1
