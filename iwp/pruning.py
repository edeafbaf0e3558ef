"""`with prune(model, pruner)`: the only code that changes a model, and it undoes it all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from iwp.cutting import Cutter
from iwp.errors import IWPError
from iwp.pruners.base import Pruner
from iwp.stage import hooked
from iwp.support import check_model, decoder_of, lock_of
from iwp.tower import Given, watch_of
from iwp.types import Tower, Trace


@contextmanager
def prune(
    model: Any, pruner: Pruner, *, visual: Tensor | None = None, tower: Tower | None = None
) -> Iterator[Trace]:
    """Prune the visual tokens of every prompt that the model reads inside the block.

    Before decoder layer `pruner.layer` the rows of the dropped tokens leave the sequence. Kept
    tokens keep their positions, and decoding goes on at the positions of the full prompt. Where a
    method merges tokens, the rows of kept ones are replaced there, too.
    `generate()` and plain calls both work: batches padded on the left, several pictures, sampling,
    beams, several turns with one cache. What continues a prompt has to be in the same block. A
    plain call returns logits for the rows that go on, prompts that lost more filled up on the left.
    Threads that prune the same model wait for each other. Afterwards the model is as it was, also
    after an error.

    Args:
        model: a transformers vision-language model.
        pruner: the method.
        visual: (n,) int64 ascending positions of the visual tokens, or for a batch a (B, S) bool
            mask of them; needed only where the model is called with `inputs_embeds`, otherwise
            the placeholder ids tell.
        tower: what the vision tower says of the visual tokens of one prompt; needed only by methods
            with `needs_tower` where the model is called with `inputs_embeds`. Otherwise the tower
            is watched while the model reads its pictures.

    Yields:
        What the cuts did, appended while the model runs, for every cut one entry for every row of a
        batch; `generate()` makes rows of its own for beams and for several returned sequences.

    Raises:
        IWPError: the model or the prompt cannot be cut.
    """
    with pruned(model, pruner, visual, tower) as cutter:
        yield cutter.trace


@contextmanager
def pruned(
    model: Any, pruner: Pruner, visual: Tensor | None, tower: Tower | None = None
) -> Iterator[Cutter]:
    """What `prune` does; yields what does the cutting."""
    for cut in pruner.cuts:
        check_model(model, cut.layer)
    decoder = decoder_of(model)
    watch = watch_of(model) if pruner.needs_tower and tower is None else None
    towers = Given(tower) if pruner.needs_tower and tower is not None else watch
    with lock_of(decoder), ExitStack() as stack:
        if any(isinstance(getattr(hook, "__self__", None), Cutter) for hook in _hooks(decoder)):
            raise IWPError("The model is being pruned already: leave that block first.")
        cutter = Cutter(model, decoder, pruner, visual, towers)
        if watch is not None:
            stack.enter_context(watch.watching())
        for module, hook in ((model, cutter.before_model), (decoder, cutter.before_decoder)):
            handle = module.register_forward_pre_hook(hook, with_kwargs=True)
            stack.callback(handle.remove)
        stack.enter_context(hooked(decoder, cutter.stages))
        yield cutter


def _hooks(module: nn.Module) -> list[Any]:
    return list(module._forward_pre_hooks.values())
