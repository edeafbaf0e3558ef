"""One forward pass of a batch, as its caller sees it: nothing is shortened yet."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from iwp.deepstack import DeepStack
from iwp.rows import Rows
from iwp.shortened import CutCache, joined


class Step:
    """S new tokens in each of B rows, after `past` columns of the caller's attention mask.

    Attributes:
        visual: (B, S) bool, the visual tokens; None where there are none to prune.
        mask: (B, past + S) the caller's attention mask, 0 at padding.
        before: what was cut out of the cache so far.
        past: columns of the mask that the cache stands for.
        total: the same with the new tokens.
        separators: for each row, the numbers of the row-end tokens among its visual ones.
        deepstack: the features that the first layers add to visual rows.
    """

    def __init__(
        self, call: dict[str, Any], visual: Tensor | None, before: CutCache, past: int
    ) -> None:
        embeds: Tensor = call["inputs_embeds"]
        self.visual = visual
        self.mask: Tensor | None = call.get("attention_mask")
        self.before = before
        self.past = past
        self.total = past + embeds.shape[1]
        self.separators: tuple[Tensor | None, ...] = ()
        self.deepstack: DeepStack | None = None
        self._positions: Tensor | None = call.get("position_ids")

    def new_rows(self, like: Tensor) -> Tensor:
        """(B, S) bool, false where a new row is padding, on the device of `like` (B, S)."""
        if self.mask is None:
            return torch.ones_like(like, dtype=torch.bool)
        return self.mask[:, self.past : self.total].to(like.device).bool()

    def after(self, rows: Rows) -> CutCache:
        """What is cut out of the cache when of the new rows only these go on.

        Text after the last visual token goes on whole in every row and is counted as read later:
        a cache may be cropped back to it, as assisted decoding does with what it guessed wrong.
        """
        changed = (
            ~rows.stays if self.visual is None else ~rows.stays | self.visual.to(rows.stays.device)
        )
        size = int(changed.any(dim=0).nonzero()[-1]) + 1
        width = self.past - self.before.removed
        real = self.before.real_rows(self.mask, self.past)
        real = joined(real, rows.real, (width, rows.index.shape[1]))
        first = self.past + size if self._positions is None else self._positions[..., size, None]
        return CutCache(
            read=self.past + size,
            removed=self.before.removed + rows.removed,
            real=None if real is None else real[:, : width + size - rows.removed],
            next_position=first,
        )

    def counted(self, call: dict[str, Any]) -> dict[str, Any]:
        """The decoder's call after a cut before layer 0.

        No layer has the full length any more, and the decoder would count from the short one.
        """
        real = self.before.real_rows(self.mask, self.total)
        return {
            **call,
            "position_ids": self.before.positions(self.mask, self.total, self.total - self.past),
            "attention_mask": None if real is None else real.long(),
        }
