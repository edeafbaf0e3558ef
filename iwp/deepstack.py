"""DeepStack: features that a decoder adds to its visual rows after each of its first layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from iwp.rows import Rows


class DeepStack:
    """The decoder's own mask and features of one forward pass, which a cut shortens in place.

    The decoder holds on to the tensors that it is called with, so the tensors themselves have to
    change between two of its layers. They are our own, over the caller's numbers: those stay.
    """

    def __init__(self, call: dict[str, Any]) -> None:
        self._mask: Tensor = _alias(call["visual_pos_masks"])
        self._features: list[Tensor] = [_alias(one) for one in call["deepstack_visual_embeds"]]

    @classmethod
    def of(cls, call: dict[str, Any]) -> DeepStack | None:
        """From the keyword arguments of a decoder; None for a decoder without DeepStack."""
        names = ("visual_pos_masks", "deepstack_visual_embeds")
        return None if any(call.get(name) is None for name in names) else cls(call)

    def put(self, call: dict[str, Any]) -> dict[str, Any]:
        """The decoder's call with the tensors that `cut` shortens."""
        own = {"visual_pos_masks": self._mask, "deepstack_visual_embeds": list(self._features)}
        return {**call, **own}

    def cut(self, rows: Rows, layer: int) -> None:
        """Keep what belongs to the rows that go on, for decoder layers from `layer` on."""
        if layer >= len(self._features):
            return
        stays = rows.stays.to(self._mask.device)[self._mask]
        self._mask.set_(rows.take_mask(self._mask))  # type: ignore[call-overload]
        for features in self._features[layer:]:
            features.set_(features[stays.to(features.device)])  # type: ignore[call-overload]


def _alias(tensor: Tensor) -> Tensor:
    """A tensor of its own over the same numbers."""
    own: Tensor = tensor.new_empty(0).set_(tensor.detach())  # type: ignore[call-overload]
    return own
