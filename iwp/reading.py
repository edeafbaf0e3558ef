"""One forward pass of a model over new tokens, and hooks around it that come off again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from iwp.columns import Columns
from iwp.shortened import Shortened
from iwp.support import cache_argument, decoder_of, kernel_of, lock_of


def read(model: Any, cache: Any, **inputs: Any) -> Tensor:
    """Run the model once over new tokens; (V,) float32 logits of the last one.

    Waits while another thread has hooks on the model.
    """
    with alone(model):
        given = cache_argument(model, cache)
        output = model(use_cache=True, logits_to_keep=1, **given, **inputs)
    logits: Tensor = output.logits[0, -1].float()
    return logits


@contextmanager
def before(modules: Iterable[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    """Call `hook(module, args, kwargs)` before each of the modules runs."""
    with ExitStack() as stack:
        for module in modules:
            handle = module.register_forward_pre_hook(hook, with_kwargs=True)
            stack.callback(handle.remove)
        yield


@contextmanager
def checked(model: Any, check: Callable[[], None] | None) -> Iterator[None]:
    """Call `check` before every decoder layer."""
    layers = () if check is None else decoder_of(model).layers

    def before_layer(*_: Any) -> None:
        if check is not None:
            check()

    with before(layers, before_layer):
        yield


@contextmanager
def biased(model: Any, cache: Any, biases: Mapping[int, Tensor]) -> Iterator[None]:
    """Add to the attention scores of a cache's keys while one more token is read.

    `biases` are those of `iwp.stage.biases_of`.
    """
    decoder = decoder_of(model)
    with ExitStack() as stack:
        for first, bias in biases.items():
            past, width = int(cache.get_seq_length(first)), bias.shape[1]
            columns = Columns(bias=bias).joined(Columns(), width, past + 1 - width)
            short = Shortened(kernel_of(decoder), None, columns, past, new=1)
            stack.enter_context(before(decoder.layers[first:], short))
        yield


@contextmanager
def alone(model: Any) -> Iterator[None]:
    """Keep other threads from hooking or reading this model."""
    with lock_of(decoder_of(model)):
        yield


@contextmanager
def extended(model: Any, extra: Mapping[str, Any] | None) -> Iterator[None]:
    """Give the text decoder more keyword arguments than the model passes on to it."""

    def before_decoder(_: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> Any:
        return args, {**call, **(extra or {})}

    with before((decoder_of(model),) if extra else (), before_decoder):
        yield
