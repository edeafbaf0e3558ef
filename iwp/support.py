"""What can be pruned, and plain words for what cannot, before any work is done."""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from iwp.errors import IWPError, ModelError

# The keyword of the cache in calls of models and their layers: transformers' since 5.24, its old.
_CACHE_NAMES = ("cache", "past_key_values")

# Hooks of two threads on one model would mix; a lock per decoder lives as long as the decoder.
_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_guard = threading.Lock()


def lock_of(decoder: nn.Module) -> threading.RLock:
    """The lock that a thread holds while it hooks this decoder or runs it for IWP."""
    with _locks_guard:
        return _locks.setdefault(decoder, threading.RLock())


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


def cache_in(call: Mapping[str, Any]) -> Any:
    """The cache among the arguments of a model, its decoder or a layer, or in what a model returns.

    None where there is none.
    """
    # Either name, whatever the model asks for: hooks run before transformers renames the old one.
    return next((call[name] for name in _CACHE_NAMES if name in call), None)


def cache_argument(model: Any, cache: Any) -> dict[str, Any]:
    """The keyword argument that gives a cache to a model or to one of its layers."""
    # The decoder tells the name: what is wrapped around a whole model may take any keyword.
    takes = inspect.signature(decoder_of(model).forward).parameters
    new, old = _CACHE_NAMES
    return {new if new in takes else old: cache}


def check_model(model: Any, layer: int) -> None:
    """Refuse a model that cannot be cut before decoder layer `layer`.

    Raises:
        IWPError: it has fewer layers, its attention kernel is unknown, or it is compiled.
    """
    decoder = decoder_of(model)
    if layer > len(decoder.layers):
        raise IWPError(
            f"The model has {len(decoder.layers)} layers: it cannot be cut before layer {layer}."
        )
    kernel = kernel_of(decoder)
    if kernel not in ("eager", "sdpa") and "flash" not in kernel:
        raise IWPError(f"IWP works with eager, sdpa and flash attention, not with {kernel!r}.")
    around = [module for name, module in model.named_modules() if _holds(module, decoder)]
    if any(_is_compiled(module) for module in around) or any(
        later._compiled_call_impl is not None for later in decoder.layers[layer:]
    ):
        raise IWPError(
            "A compiled model does not run hooks: prune the model that torch.compile was given."
        )


def check_call(call: Mapping[str, Any]) -> None:
    """Refuse a call of the model whose prompt cannot be shortened.

    Raises:
        IWPError: its cache has a fixed size, its mask is not one of rows and tokens, or it asks
            for something that a shorter prompt does not have.
    """
    if getattr(cache_in(call), "is_compileable", False):
        raise IWPError(
            "IWP shortens the cache, and a static one has a fixed length: leave "
            'cache_implementation="static" out.'
        )
    mask = call.get("attention_mask")
    if mask is not None and not (isinstance(mask, Tensor) and mask.ndim == 2):
        raise IWPError("IWP needs the attention mask of the processor, one number for each token.")
    if mask is not None and mask.shape[1] > 1 and not bool(mask[:, -1].all()):
        raise IWPError('Pad a batch on the left: processor(..., padding_side="left").')
    if call.get("labels") is not None or isinstance(call.get("logits_to_keep"), Tensor):
        raise IWPError("Labels and chosen logits count the full prompt: leave them out of prune().")
    if call.get("cu_seq_lens_q") is not None:
        raise IWPError("IWP cannot cut packed sequences: give every prompt its own batch row.")


def check_bias(kernel: str, *, again: bool) -> None:
    """Refuse to weigh tokens by their sizes where that cannot be done.

    Args:
        kernel: the decoder's attention.
        again: whether an earlier cut has weighed tokens of the same prompt.

    Raises:
        IWPError: the kernel takes no numbers to add to its scores, or they would be added twice.
    """
    if "flash" in kernel:
        raise IWPError(
            "Flash attention cannot weigh merged tokens by their sizes: load the model with "
            'attn_implementation="sdpa", or leave the sizes out by the method\'s option.'
        )
    if again:
        raise IWPError(
            "Tokens are weighed by their sizes once: leave the sizes out of all cuts but one."
        )


def kernel_of(decoder: Any) -> str:
    """The name of the decoder's attention kernel, such as "sdpa"."""
    return str(decoder.config._attn_implementation)


def _holds(module: nn.Module, decoder: nn.Module) -> bool:
    return any(inner is decoder for inner in module.modules())


def _is_compiled(module: nn.Module) -> bool:
    # torch.compile(model) wraps it, model.compile() and model.forward = torch.compile(...) do not.
    return (
        "_orig_mod" in module._modules
        or module._compiled_call_impl is not None
        or hasattr(vars(module).get("forward"), "_torchdynamo_orig_callable")
    )
