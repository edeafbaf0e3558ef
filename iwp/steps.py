"""Writing an answer: one more token is read, in a cache that grows or in one of fixed size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from iwp import graphs, one_row, slots
from iwp.reading import alone, biased, read
from iwp.support import decoder_of, kernel_of


class Growing:
    """Stock decoding: the cache becomes longer with every token.

    Args:
        model: a transformers model.
        cache: what it has read.
        position: (..., 1, 1) int64 of the next token.
        biases: see `iwp.stage.biases_of`.
    """

    def __init__(
        self, model: Any, cache: Any, position: Tensor, biases: Mapping[int, Tensor]
    ) -> None:
        self._model, self._cache, self._biases = model, cache, biases
        self._position = position
        self._mask = _no_mask(model, position.device)

    def read(self, token: int) -> Tensor:
        """(V,) float32 logits of the token after this one."""
        with alone(self._model), biased(self._model, self._cache, self._biases):
            logits = read(
                self._model,
                self._cache,
                input_ids=torch.tensor([[token]], device=self._position.device),
                position_ids=self._position,
                attention_mask=self._mask,
            )
        self._position = self._position + 1
        return logits


class Fixed:
    """Decoding in slots: each step does the same to the same tensors, whatever the token.

    So it can be recorded once as a CUDA graph and replayed, which leaves the host nothing to do.
    Without a GPU it runs as it is.

    Args:
        model: a transformers model that is `fit`.
        cache: what it has read; its layers become slots.
        position: (..., 1, 1) int64 of the next token.
        biases: see `iwp.stage.biases_of`.
        room: tokens that may be read.
    """

    def __init__(
        self,
        model: Any,
        cache: Any,
        position: Tensor,
        biases: Mapping[int, Tensor],
        room: int,
    ) -> None:
        self._model, self._cache = model, cache
        self._token = torch.zeros((1, 1), dtype=torch.int64, device=position.device)
        self._position = position.clone()
        layers = slots.put_in(cache, room)
        self._places = list({id(layer.place): layer.place for layer in layers}.values())
        self._masks, self._openings = _masks(layers, biases)
        # A mask of four dimensions keeps the decoder from making its own.
        self._none = torch.zeros((1, 1, 1, 1), dtype=model.dtype, device=position.device)
        self._recorded = graphs.Recorded(position.device)

    def read(self, token: int) -> Tensor:
        """(V,) float32 logits of the token after this one, valid until the next call."""
        self._token.fill_(token)
        with alone(self._model):
            return self._recorded(self._read)

    @property
    def replayed(self) -> bool:
        """Whether a GPU replays its steps; where there is none, they are as they should be."""
        return self._recorded.whole

    def _read(self) -> Tensor:
        for mask, place in self._openings:
            mask.index_fill_(1, place, 0.0)
        with one_row.looking(self._model, self._masks):
            logits = read(
                self._model,
                self._cache,
                input_ids=self._token,
                position_ids=self._position,
                attention_mask=self._none,
            )
        self._position.add_(1)
        for place in self._places:
            place.add_(1)
        return logits


class Fast:
    """Steps in slots while they succeed, stock ones from there on. Arguments as for `Fixed`."""

    def __init__(
        self,
        model: Any,
        cache: Any,
        position: Tensor,
        biases: Mapping[int, Tensor],
        room: int,
    ) -> None:
        self._model, self._cache = model, cache
        self._position, self._biases = position, biases
        self._filled = 0
        self._steps: Fixed | Growing
        try:
            self._steps = Fixed(model, cache, position, biases, room)
        except Exception as error:
            self._steps = self._stock(error)

    def read(self, token: int) -> Tensor:
        """(V,) float32 logits of the token after this one, valid until the next call."""
        try:
            logits = self._steps.read(token)
        except Exception as error:
            if isinstance(self._steps, Growing):
                raise
            self._steps = self._stock(error)
            logits = self._steps.read(token)
        self._filled += 1
        return logits

    @property
    def fast(self) -> bool:
        """Whether no step so far was a stock one, and on a GPU they are replayed."""
        return not isinstance(self._steps, Growing) and self._steps.replayed

    def _stock(self, error: Exception) -> Growing:
        graphs.tell("Decoding goes on without fixed caches", error)
        slots.take_out(self._cache, self._filled)
        return Growing(self._model, self._cache, self._position + self._filled, self._biases)


def onward(
    model: Any,
    cache: Any,
    position: Tensor,
    biases: Mapping[int, Tensor],
    room: int,
    fast: bool,
) -> Growing | Fast:
    """What reads the tokens of an answer.

    Args:
        model: a transformers model.
        cache: what it has read.
        position: (..., 1, 1) int64 of the next token.
        biases: see `iwp.stage.biases_of`.
        room: tokens that may be read.
        fast: in slots, on a GPU as a CUDA graph, where the model allows.
    """
    if fast and room > 0 and fit(model, cache):
        return Fast(model, cache, position, biases, room)
    return Growing(model, cache, position, biases)


def fit(model: Any, cache: Any) -> bool:
    """Whether one step can be recorded: full caches, on one device, and nobody looks on.

    Quantised weights bring kernels of their own, several devices the copies between them, hooks
    would not be called again, and rotary frequencies that depend on the length ask the host for it.
    """
    around = (model, getattr(model, "model", model), model.get_output_embeddings())
    return (
        slots.fits(cache)
        and one_row.regular(model)
        and not _stretched(decoder_of(model))
        and not getattr(model, "is_quantized", False)
        and len({weight.device for weight in model.parameters()}) == 1
        and not any(map(_watched, (*around, *decoder_of(model).modules())))
    )


def _stretched(decoder: Any) -> bool:
    kind = str(getattr(getattr(decoder, "rotary_emb", None), "rope_type", ""))
    return "dynamic" in kind or kind == "longrope"


def _watched(module: nn.Module) -> bool:
    hooks = module._forward_pre_hooks or module._forward_hooks
    return bool(hooks) or hasattr(module, "_hf_hook")  # accelerate's


def _masks(
    layers: list[slots.Slots], biases: Mapping[int, Tensor]
) -> tuple[dict[int, Tensor], list[tuple[Tensor, Tensor]]]:
    """For each layer its (1, slots) float32 mask; and every mask with the slot that opens next.

    Layers of one length share a mask, from one cut that weighs tokens to the next.
    """
    masks: dict[int, Tensor] = {}
    made: dict[tuple[int, int | None], tuple[Tensor, Tensor]] = {}
    weighed: int | None = None
    for number, layer in enumerate(layers):
        weighed = number if number in biases else weighed
        if (layer.start, weighed) not in made:
            mask = layer.keys.new_full((1, layer.keys.shape[2]), -torch.inf, dtype=torch.float32)
            mask[:, : layer.start] = 0.0
            if weighed is not None:
                bias = biases[weighed]
                mask[:, : bias.shape[1]] = bias.to(mask.device)
            made[layer.start, weighed] = mask, layer.place
        masks[number] = made[layer.start, weighed][0]
    return masks, list(made.values())


def _no_mask(model: Any, device: torch.device) -> Tensor | None:
    """The mask of a stock step, where nothing is hidden.

    Eager attention would be given a mask of the first layer's length, too long after a cut: one
    zero fits every length. The other kernels need no mask at all, and are fastest without.
    """
    if kernel_of(decoder_of(model)) != "eager":
        return None
    return torch.zeros((1, 1, 1, 1), dtype=model.dtype, device=device)
