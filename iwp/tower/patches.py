"""Towers that read all patches in one row: Qwen2-VL, Qwen2.5-VL and Qwen3-VL."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.vision_utils import get_vision_window_index

from iwp.tower.received import found, projected, received, rotated
from iwp.tower.watch import Attended, Watch


class PatchWatch(Watch):
    """The last block of Qwen2-VL and Qwen3-VL; a token has the mean over its 2 x 2 patches.

    A picture, or a layer of frames of a video, is one segment that attends to itself alone.
    """

    def __init__(self, model: Any) -> None:
        """See `Watch`."""
        self._visual: Any = model.model.visual
        block = self._visual.blocks[self._block()]
        super().__init__(model, block.attn, self._visual)

    def _block(self) -> int:
        return -1

    def _read(self, seen: Attended, output: Any, call: dict[str, Any]) -> Tensor:  # noqa: ARG002
        parts = []
        lengths = seen.call["cu_seqlens"].diff().tolist()
        cos, sin = (torch.split(table, lengths) for table in seen.call["position_embeddings"])
        for hidden, *turn in zip(torch.split(seen.hidden, lengths), cos, sin, strict=True):
            queries, keys = (rotated(x, *turn) for x in projected(self._attention, hidden))
            parts.append(found(received(queries, keys), keys))
        unit: int = self._visual.spatial_merge_size**2
        patches = torch.cat(parts)
        merged = patches.view(-1, unit, patches.shape[1]).mean(dim=1)
        return self._in_order(merged, call)

    def _in_order(self, merged: Tensor, call: dict[str, Any]) -> Tensor:  # noqa: ARG002
        """Bring merged patches (n, c) from the order of the blocks to that of the features."""
        return merged


class WindowWatch(PatchWatch):
    """The last block of Qwen2.5-VL that attends beyond its window; patches are sorted by window."""

    def _block(self) -> int:
        numbers: list[int] = list(self._visual.fullatt_block_indexes)
        return sorted(numbers)[-1]

    def _in_order(self, merged: Tensor, call: dict[str, Any]) -> Tensor:
        visual = self._visual
        by_window, _ = get_vision_window_index(
            call["grid_thw"], visual.spatial_merge_size, visual.window_size, visual.patch_size
        )
        return merged[by_window.argsort().to(merged.device)]
