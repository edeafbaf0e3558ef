"""A cache of fixed size: every layer's keys and values in slots, with room for an answer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin, DynamicLayer


class Slots(CacheLayerMixin):  # type: ignore[misc]  # untyped for mypy
    """Keys and values of one layer, and free slots after them that are filled one by one.

    Nothing here depends on numbers that only the host knows: what a step does can be recorded once
    and replayed.

    Attributes:
        keys: (1, heads, slots, d), zeros where nothing is yet.
        values: the same of the values.
        place: (1,) int64 the slot that is filled next; whoever owns it moves it on.
        start: slots that were filled from the beginning.
    """

    is_compileable = True

    def __init__(self, keys: Tensor, values: Tensor, place: Tensor, room: int) -> None:
        super().__init__()
        self.start = keys.shape[2]
        self.keys, self.values = _with_room(keys, room), _with_room(values, room)
        self.place = place
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Put the (1, heads, 1, d) keys and values of a token in its slot, and give all slots."""
        self.keys.index_copy_(2, self.place, key_states)
        self.values.index_copy_(2, self.place, value_states)
        return self.keys, self.values

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: slots are made full."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - of the parent
        """(slots, 0): all that a mask has to tell of."""
        return self.get_max_length(), 0

    def get_seq_length(self) -> Any:
        """(1,) int64 tokens so far, on the device: reading it on the host would wait."""
        return self.place

    def get_max_length(self) -> int:
        """How many slots there are."""
        return self.keys.shape[-2]


def fits(cache: Any) -> bool:
    """Whether a transformers cache is one of a single prompt that only grows, layer by layer."""
    return all(
        type(layer) is DynamicLayer
        and layer.is_initialized
        and layer.keys.shape[0] == 1
        and layer.keys.shape[2] == layer.values.shape[2]
        for layer in cache.layers
    )


def put_in(cache: Any, room: int) -> list[Slots]:
    """Turn the layers of a cache into slots, in place, with `room` free ones each.

    One layer after another, each freed before the next: both forms of the whole cache are never
    there at once. Layers of one length share their `place`.
    """
    places: dict[int, Tensor] = {}
    for number, layer in enumerate(cache.layers):
        length = layer.keys.shape[2]
        if length not in places:
            places[length] = torch.tensor([length], device=layer.keys.device)
        cache.layers[number] = Slots(layer.keys, layer.values, places[length], room)
    return list(cache.layers)


def take_out(cache: Any, filled: int) -> None:
    """Turn slots into layers that grow again, in place.

    Args:
        cache: some of its layers may be slots, others not yet.
        filled: tokens that came in since `put_in`.
    """
    for number, layer in enumerate(cache.layers):
        if isinstance(layer, Slots):
            grown, length = DynamicLayer(), layer.start + filled
            grown.lazy_initialization(layer.keys, layer.values)
            grown.keys, grown.values = layer.keys[:, :, :length], layer.values[:, :, :length]
            cache.layers[number] = grown


def _with_room(table: Tensor, room: int) -> Tensor:
    """(1, heads, n, d) -> (1, heads, n + room, d). Zeros: hidden keys must be finite."""
    heads, width = table.shape[1], table.shape[3]
    return torch.cat((table, table.new_zeros(1, heads, room, width)), dim=2)
