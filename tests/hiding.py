"""The truth about a cut: the whole sequence, with the dropped keys hidden from layer L on.

Stock `generate()` runs as it is, whatever its options; only what attention may look at changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from iwp.pruning import prune
from iwp.types import Trace
from tests.prompts import written

NEAR = 1e-4


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
    return [
        columns[~torch.isin(torch.arange(len(columns)), cut.kept)]
        for columns, cut in zip(visual, cuts, strict=True)
    ]


def agree(network: Any, inputs: dict[str, Any], pruner: Any, **options: Any) -> Trace:
    """Check that generate() after a cut equals hiding the dropped keys; the trace of the cut."""
    torch.manual_seed(0)
    with prune(network, pruner) as trace:
        tokens, logits = written(network, inputs, **options)
    copies = options.get("num_beams") or options.get("num_return_sequences", 1)
    dropped = dropped_columns(network, inputs["input_ids"], trace, copies)
    if pruner.layer < len(network.get_decoder().layers) and pruner.budget != 1:
        # A cut that did not happen would agree with hiding nothing.
        assert sum(len(columns) for columns in dropped) > 0
    torch.manual_seed(0)
    with hiding(network, dropped, pruner.layer):
        true_tokens, truth = written(network, inputs, **options)
    assert torch.equal(tokens, true_tokens)
    assert (logits - truth).abs().max() < NEAR
    return trace


@contextmanager
def hiding(model: Any, dropped: Sequence[Tensor], layer: int) -> Iterator[None]:
    """From decoder layer `layer` on, nobody looks at the dropped columns of its own prompt."""
    with hiding_from(model, {layer: dropped}):
        yield


@contextmanager
def hiding_from(model: Any, dropped: Mapping[int, Sequence[Tensor]]) -> Iterator[None]:
    """From each of these layers on, nobody looks at the columns that are dropped there.

    A batch that has k times as many rows has k of them, one after another, for each prompt.
    """
    decoder = model.get_decoder()
    given: dict[str, Any] = {}

    def before_decoder(_: Any, __: Any, call: dict[str, Any]) -> None:
        mask = call.get("attention_mask")
        given["mask"] = mask if mask is not None and mask.ndim == 2 else None

    def hook(number: int) -> Any:
        def before_layer(_: Any, args: Any, call: dict[str, Any]) -> Any:
            cache = call.get("past_key_values")
            past = 0 if cache is None else cache.get_seq_length(number)
            reached = [layer for layer in dropped if layer <= number]
            gone = dropped[max(reached)] if reached else ()
            allowed = _allowed(given["mask"], args[0], past, gone)
            mask = torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))
            return args, {**call, "attention_mask": mask}

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
