"""The truth about a cut: the whole sequence, with the dropped keys hidden from layer L on.

Stock `generate()` runs as it is, whatever its options; only what attention may look at changes. Of
a method that merges, the kept rows of the layer's input are replaced, and the logarithms of the
sizes are added to the scores of all heads and queries, in every layer from L on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from iwp.pruners import Choice, LayerView, Pruner
from iwp.pruning import prune
from iwp.support import cache_in
from iwp.types import Cut, Trace
from tests.prompts import written

NEAR = 1e-4


@dataclass(frozen=True)
class Became:
    """What kept tokens of one prompt become at a layer.

    Attributes:
        columns: (m,) where they are.
        rows: (columns, D) input of the layer -> (m, D) what their rows are replaced by. Columns
            that are read before or later are zero there.
        logs: (m,) what is added to their attention scores from this layer on.
    """

    columns: Tensor
    rows: Callable[[Tensor], Tensor]
    logs: Tensor


def as_chosen(columns: Tensor, choice: Choice) -> Became:
    """What a method's own choice says, of a prompt with visual tokens at these columns."""
    left, given, sizes = columns[choice.kept], choice.rows, choice.sizes
    logs = torch.zeros(len(left)) if sizes is None else sizes.log()
    return Became(left, lambda rows: rows[left] if given is None else given.to(rows.dtype), logs)


@contextmanager
def choices_of(pruner: Pruner) -> Iterator[list[Choice]]:
    """Note what a method chooses, cut by cut."""
    noted: list[Choice] = []

    def noting(choose: Any) -> Any:
        def choosing(self: Pruner, view: LayerView) -> Choice:
            noted.append(choose(self, view))
            return noted[-1]

        return choosing

    with pytest.MonkeyPatch.context() as patch:
        for method in {type(cut) for cut in pruner.cuts}:
            patch.setattr(method, "choose", noting(method.choose))
        yield noted


def visual_columns(model: Any, ids: Tensor) -> list[Tensor]:
    """For each row of (B, S) ids, the columns of its placeholders."""
    names = ("image_token_id", "video_token_id")
    numbers = [getattr(model.config, name, None) for name in names]
    found = torch.isin(ids, torch.tensor([number for number in numbers if number is not None]))
    return [row.nonzero().flatten() for row in found]


def dropped_columns(model: Any, ids: Tensor, trace: Trace, copies: int = 1) -> list[Tensor]:
    """For each row of (B, S) ids, the columns that the first cuts of `trace` dropped.

    `copies` is the number of rows that generate() made of each, for beams or answers.
    """
    visual = visual_columns(model, ids)
    if not trace.cuts:
        return [columns[:0] for columns in visual]
    cuts = trace.cuts[: copies * len(visual) : copies]
    return [dropped_of(columns, cut) for columns, cut in zip(visual, cuts, strict=True)]


def dropped_of(columns: Tensor, cut: Cut) -> Tensor:
    """The columns of visual tokens that are gone after a cut."""
    return columns[~torch.isin(torch.arange(len(columns)), cut.kept)]


def became_of(model: Any, ids: Tensor, choices: Sequence[Choice]) -> list[Became]:
    """What the kept tokens of each row of (B, S) ids became, of choices for rows with pictures."""
    noted = iter(choices)
    return [
        as_chosen(columns, next(noted) if len(columns) else Choice(columns))
        for columns in visual_columns(model, ids)
    ]


def agree(network: Any, inputs: dict[str, Any], pruner: Any, **options: Any) -> Trace:
    """Check that generate() after a cut equals hiding the dropped keys; the trace of the cut."""
    torch.manual_seed(0)
    with choices_of(pruner) as choices, prune(network, pruner) as trace:
        tokens, logits = written(network, inputs, **options)
    copies = options.get("num_beams") or options.get("num_return_sequences", 1)
    dropped = dropped_columns(network, inputs["input_ids"], trace, copies)
    if pruner.layer < len(network.get_decoder().layers) and pruner.budget != 1:
        # A cut that did not happen would agree with hiding nothing.
        assert sum(len(columns) for columns in dropped) > 0
    became = became_of(network, inputs["input_ids"], choices) if choices else ()
    torch.manual_seed(0)
    with hiding(network, dropped, pruner.layer, became):
        true_tokens, truth = written(network, inputs, **options)
    assert torch.equal(tokens, true_tokens)
    assert (logits - truth).abs().max() < NEAR
    return trace


@contextmanager
def hiding(
    model: Any, dropped: Sequence[Tensor], layer: int, became: Sequence[Became] = ()
) -> Iterator[None]:
    """From decoder layer `layer` on, nobody looks at the dropped columns of its own prompt."""
    with hiding_from(model, {layer: dropped}, {layer: became}):
        yield


@contextmanager
def hiding_from(
    model: Any,
    dropped: Mapping[int, Sequence[Tensor]],
    became: Mapping[int, Sequence[Became]] | None = None,
) -> Iterator[None]:
    """From each of these layers on, nobody looks at the columns that are dropped there.

    A batch that has k times as many rows has k of them, one after another, for each prompt. What
    kept tokens become at a layer is added to what others became earlier.
    """
    decoder = model.get_decoder()
    given: dict[str, Any] = {}

    def before_decoder(_: Any, __: Any, call: dict[str, Any]) -> None:
        mask = call.get("attention_mask")
        given["mask"] = mask if mask is not None and mask.ndim == 2 else None

    def hook(number: int) -> Any:
        def before_layer(_: Any, args: Any, call: dict[str, Any]) -> Any:
            cache = cache_in(call)
            past = 0 if cache is None else cache.get_seq_length(number)
            reached = [layer for layer in dropped if layer <= number]
            gone = dropped[max(reached)] if reached else ()
            hidden = _replaced(args[0], past, (became or {}).get(number, ()))
            allowed = _allowed(given["mask"], hidden, past, gone)
            mask = torch.zeros(allowed.shape, dtype=hidden.dtype)
            for layer in reached:
                mask += _bias(mask, (became or {}).get(layer, ()))
            mask = mask.masked_fill(~allowed, float("-inf"))
            return (hidden, *args[1:]), {**call, "attention_mask": mask}

        return before_layer

    with ExitStack() as stack:
        hooks = [(decoder, before_decoder)]
        hooks += [(module, hook(number)) for number, module in enumerate(decoder.layers)]
        for module, before in hooks:
            handle = module.register_forward_pre_hook(before, with_kwargs=True)
            stack.callback(handle.remove)
        yield


def _allowed(mask: Any, hidden: Tensor, past: int, dropped: Sequence[Tensor]) -> Tensor:
    batch, new = hidden.shape[:2]
    rows = torch.arange(past, past + new)[:, None]
    columns = torch.arange(past + new)
    seen = torch.ones(batch, past + new, dtype=torch.bool) if mask is None else mask.bool().clone()
    for number, gone in enumerate(dropped):
        times = batch // len(dropped)
        seen[number * times : (number + 1) * times, gone[gone < past + new]] = False
    # A row that sees nothing, such as padding, sees itself: nobody looks at what comes of it.
    return (columns <= rows) & (seen[:, None, None] | (columns == rows))


def _replaced(hidden: Tensor, past: int, became: Sequence[Became]) -> Tensor:
    """The (B, S, D) input of a layer, whose first row is column `past`, with rows replaced."""
    hidden = hidden.clone()
    for row, new in enumerate(hidden if became else ()):
        one = became[row * len(became) // len(hidden)]
        here = (one.columns >= past) & (one.columns < past + len(new))
        if bool(here.any()):
            end = max(past + len(new), int(one.columns.max()) + 1)
            whole = new.new_zeros(end, new.shape[1])
            whole[past : past + len(new)] = new
            hidden[row, one.columns[here] - past] = one.rows(whole)[here]
    return hidden


def _bias(mask: Tensor, became: Sequence[Became]) -> Tensor:
    """What is added to a mask (B, 1, S, columns) for what tokens became."""
    added = torch.zeros_like(mask)
    for row in range(len(mask) if became else 0):
        one = became[row * len(became) // len(mask)]
        for column, log in zip(one.columns.tolist(), one.logs.tolist(), strict=True):
            if column < mask.shape[-1]:
                added[row, :, :, column] += log
    return added
