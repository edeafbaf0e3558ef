"""`with prune(model, pruner)`: the only code that changes a model, and it undoes it all."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from iwp.budget import keep_count
from iwp.errors import IWPError, ModelError
from iwp.measure import Stopwatch
from iwp.prompt import Prompt, Shortened
from iwp.pruners.base import Pruner
from iwp.types import Cut, Trace

# Hooks of two threads on one model would mix; a lock per model lives as long as the model.
_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_guard = threading.Lock()


@contextmanager
def prune(model: Any, pruner: Pruner, *, visual: Tensor | None = None) -> Iterator[Trace]:
    """Prune the visual tokens of every prompt that the model reads inside the block.

    Before decoder layer `pruner.layer` the rows of the dropped tokens leave the sequence. Kept
    tokens keep their positions, and decoding goes on at the positions of the full prompt.
    `generate()` and plain calls both work, one prompt at a time, with the default (dynamic)
    cache; what continues a prompt has to be in the same block. Threads that prune the same model
    wait for each other. Afterwards the model is as it was, also after an error.

    Args:
        model: a transformers vision-language model.
        pruner: the method.
        visual: (n,) int64 ascending positions of the visual tokens, needed only where the model
            is called with `inputs_embeds`; otherwise the placeholder ids tell.

    Yields:
        What the cuts did, appended while the model runs.

    Raises:
        IWPError: the model or the prompt cannot be cut.
    """
    decoder = decoder_of(model)
    if pruner.layer > len(decoder.layers):
        raise IWPError(
            f"The model has {len(decoder.layers)} layers: it cannot be cut before layer "
            f"{pruner.layer}."
        )
    with _lock_of(model), ExitStack() as stack:
        if any(isinstance(getattr(hook, "__self__", None), _Cutter) for hook in _hooks(decoder)):
            raise IWPError("The model is being pruned already: leave that block first.")
        cutter = _Cutter(model, pruner, visual)
        hooks: list[tuple[nn.Module, Callable[..., Any]]]
        hooks = [(model, cutter.before_model), (decoder, cutter.before_decoder)]
        hooks += [(layer, cutter.before_layer) for layer in decoder.layers[pruner.layer :]]
        for module, hook in hooks:
            handle = module.register_forward_pre_hook(hook, with_kwargs=True)
            stack.callback(handle.remove)
        yield cutter.trace


def decoder_of(model: Any) -> Any:
    """The text decoder of a transformers model, the module that holds `layers`.

    Raises:
        ModelError: there is none, or not all of its layers have full attention.
    """
    decoder: Any = model.get_decoder() if hasattr(model, "get_decoder") else None
    if not isinstance(getattr(decoder, "layers", None), nn.ModuleList):
        raise ModelError(f"IWP finds no text decoder in this {type(model).__name__}.")
    if set(getattr(decoder.config, "layer_types", None) or ()) - {"full_attention"}:
        raise ModelError("IWP can only cut a model whose layers all have full attention.")
    return decoder


def _lock_of(model: nn.Module) -> threading.RLock:
    with _locks_guard:
        return _locks.setdefault(model, threading.RLock())


def _hooks(module: nn.Module) -> list[Any]:
    return list(module._forward_pre_hooks.values())


class _Cutter:
    """The hooks of one `prune` block, and what they remember from one to the next."""

    def __init__(self, model: Any, pruner: Pruner, visual: Tensor | None) -> None:
        self.trace = Trace()
        self._pruner = pruner
        ids = (getattr(model.config, f"{kind}_token_id", None) for kind in ("image", "video"))
        self._placeholders = [number for number in ids if number is not None]
        self._given = visual
        self._visual = visual
        self._prompt: Prompt | None = None
        self._short: Shortened | None = None
        self._by_cache: weakref.WeakKeyDictionary[Any, Shortened] = weakref.WeakKeyDictionary()

    def before_model(self, _: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> None:
        """Find the visual tokens while there still are placeholder ids."""
        ids = call.get("input_ids", args[0] if args else None)
        if self._given is None:
            self._visual = None if ids is None else self._placeholder_rows(ids)

    def before_decoder(self, _: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> Any:
        """Tell a new prompt from the continuation of a cut one."""
        cache: Any = call.get("past_key_values")
        self._short = None if cache is None else self._by_cache.get(cache)
        if self._short is None:
            self._prompt = self._new_prompt(call, cache)
            return None
        self._prompt = None
        self._short.forget()
        past, new = cache.get_seq_length(), call["inputs_embeds"].shape[1]
        if self._given is None:
            self._refuse_pictures(new)
        if self._pruner.layer > 0:
            return None
        # No layer has the full length any more, so the model would count from the short one.
        mask = self._short.mask(call.get("attention_mask"))
        if mask is not None and mask.shape[-1] != past + new:
            raise IWPError("A prompt cut before layer 0 cannot go on: cut before layer 1 or later.")
        positions = self._short.positions(past, new)
        return args, {**call, "position_ids": positions, "attention_mask": mask}

    def before_layer(self, layer: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> Any:
        """Cut before the first of these layers; keep the later ones in step with the cut."""
        if self._prompt is None:
            if self._short is None or self._pruner.layer == 0:
                return None
            return args, {**call, "attention_mask": self._short.mask(call["attention_mask"])}
        if self._short is None:
            kept = self._select(self._prompt, layer, args, call)
            if kept.shape[0] == self._prompt.visual.shape[0]:
                self._prompt = None
                return None
            self._short = Shortened(self._prompt, kept, call.get("position_ids"))
            if call.get("past_key_values") is not None:
                self._by_cache[call["past_key_values"]] = self._short
            args = (args[0].index_select(1, self._short.rows), *args[1:])
        return args, self._short.reading(call)

    def _placeholder_rows(self, ids: Tensor) -> Tensor:
        if ids.shape[0] != 1:
            raise IWPError("IWP prunes one prompt at a time: no batches, beams or candidates.")
        placeholders = torch.tensor(self._placeholders, dtype=ids.dtype, device=ids.device)
        return torch.isin(ids[0], placeholders).nonzero().flatten()

    def _refuse_pictures(self, new: int) -> None:
        # A single token is the model's own, whatever its id.
        if new > 1 and self._visual is not None and self._visual.shape[0] > 0:
            raise IWPError("IWP prunes pictures of a new prompt only: start with an empty cache.")

    def _new_prompt(self, call: dict[str, Any], cache: Any) -> Prompt | None:
        embeds = call["inputs_embeds"]
        if cache is not None and cache.get_seq_length() > 0:
            self._refuse_pictures(embeds.shape[1])
            return None
        if self._visual is None:
            raise IWPError("A prompt of embeddings needs prune(..., visual=positions).")
        if embeds.shape[0] != 1:
            raise IWPError("IWP prunes one prompt at a time: no batches, beams or candidates.")
        if getattr(cache, "is_compileable", False):
            raise IWPError("IWP shortens the cache: use the default one, not a static one.")
        self.trace.n_visual.append(self._visual.shape[0])
        if self._visual.shape[0] == 0:
            return None
        mask = call.get("attention_mask")
        padding = mask if isinstance(mask, Tensor) and mask.ndim == 2 else None
        return Prompt.of(embeds.shape[1], self._visual.to(embeds.device), padding)

    @torch.no_grad()
    def _select(
        self, prompt: Prompt, layer: nn.Module, args: tuple[Any, ...], call: dict[str, Any]
    ) -> Tensor:
        n = prompt.visual.shape[0]
        keep = keep_count(n, self._pruner.budget)
        device = prompt.visual.device
        if keep == n:
            kept, scores, seconds = torch.arange(n, device=device), None, 0.0
        else:
            watch = Stopwatch(device)
            kept, scores = self._pruner.select(prompt.view(layer, args, call), keep)
            seconds = watch.seconds()
        if not prompt.ends_with_text and int(kept[-1]) != n - 1:
            raise IWPError("Put text after the picture: a prompt's last token cannot be dropped.")
        scores = None if scores is None else scores.cpu()
        self.trace.cuts.append(Cut(self._pruner.layer, kept.cpu(), scores, seconds))
        return kept
