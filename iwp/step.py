"""One forward pass of a batch, as it is before a cut: the caller's, or what earlier cuts left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from iwp.deepstack import DeepStack
from iwp.rows import Rows
from iwp.shortened import CutCache, joined
from iwp.types import Cut


class Step:
    """S new tokens in each of B rows, after `past` columns of an attention mask.

    The mask is the caller's before the first cut, and counts the rows that are left before a later
    one.

    Attributes:
        visual: (B, S) bool, the visual tokens; None where there are none to prune.
        mask: (B, past + S) the attention mask, 0 at padding.
        before: what this cut has taken out of the cache so far.
        past: columns of the mask that the cache stands for.
        total: the same with the new tokens.
        separators: for each row, the numbers of the row-end tokens among its visual ones.
        deepstack: the features that the first layers add to visual rows.
        numbers: for each row, which of its original visual tokens are left; None: all.
        sizes: for each row, how many it had originally.
    """

    def __init__(
        self,
        visual: Tensor | None,
        before: CutCache,
        past: int,
        new: int,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> None:
        self.visual = visual
        self.mask = mask
        self.before = before
        self.past = past
        self.total = past + new
        self.separators: tuple[Tensor | None, ...] = ()
        self.deepstack: DeepStack | None = None
        counts = [] if visual is None else visual.sum(dim=1).tolist()
        self.numbers: tuple[Tensor | None, ...] = (None,) * len(counts)
        self.sizes: tuple[int, ...] = tuple(counts)
        self._positions = positions

    def cut(self, layer: int, row: int, chosen: Tensor, scores: Tensor | None) -> Cut:
        """What a cut before `layer` chose of a row, in numbers of its original visual tokens."""
        numbers = self.numbers[row]
        chosen, scores = chosen.cpu(), None if scores is None else scores.cpu()
        if numbers is None:
            return Cut(layer, chosen, scores)
        if scores is not None:
            scores = scores.new_zeros(self.sizes[row]).index_copy_(0, numbers, scores)
        return Cut(layer, numbers[chosen], scores)

    def shortened(self, rows: Rows | None, kept: Sequence[Tensor], real: Tensor | None) -> Step:
        """The pass as it goes on after this cut.

        Args:
            rows: the rows that go on; None: all do.
            kept: for each row, the numbers among its visual tokens that are left.
            real: (B, columns left) bool, false at padding; None where there is none.
        """
        visual, new = self.visual, self.total - self.past
        if rows is not None:
            new = rows.index.shape[1]
            visual = None if visual is None else rows.take_mask(visual & rows.stays)
        step = Step(visual, CutCache(), self.past - self.before.removed, new, real)
        step.deepstack, step.sizes = self.deepstack, self.sizes
        step.separators, step.numbers = self.separators, self.numbers
        if rows is not None and kept:
            step.separators = tuple(
                None if ends is None else torch.isin(left, ends.to(left.device)).nonzero().flatten()
                for left, ends in zip(kept, self.separators, strict=True)
            )
            step.numbers = tuple(
                left.cpu() if numbers is None else numbers[left.cpu()]
                for left, numbers in zip(kept, self.numbers, strict=True)
            )
        return step

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
