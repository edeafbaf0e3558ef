"""A cut cache: what is remembered of it, and what layers are called with after the cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from iwp.columns import Columns
from iwp.errors import IWPError
from iwp.masks import attention_mask
from iwp.rows import Rows


@dataclass(frozen=True)
class CutCache:
    """What was cut out of a cache, in columns of the caller's attention mask.

    Attributes:
        read: columns of the caller's mask up to the last visual token that was asked about; 0
            where there was no cut.
        removed: rows by which the cache of the later layers is shorter.
        left: the read - removed columns that are left of those.
        next_position: (..., B or 1, 1) position of the first token after that.
    """

    read: int = 0
    removed: int = 0
    left: Columns = field(default_factory=Columns)
    next_position: Tensor | int = 0

    def columns(self, mask: Tensor | None, bias: Tensor | None, total: int) -> Columns:
        """The columns that are left when `total` of the caller's are read, total - removed of them.

        Args:
            mask: the caller's mask, (B, total or more), 0 at padding.
            bias: (B, total or more) float32 what earlier cuts add to the attention scores.
            total: columns of the caller's mask, at least `read`.
        """
        later = Columns(
            None if mask is None else mask[:, self.read : total].bool(),
            None if bias is None else bias[:, self.read : total],
        )
        return self.left.joined(later, self.read - self.removed, total - self.read)

    def check(self, length: int, short: int, new: int, mask: Tensor | None, batch: int) -> None:
        """Refuse to go on where the cache or the mask do not fit what was cut.

        Args:
            length: columns of the caller's mask that the cache stands for.
            short: rows in the cache of the later layers.
            new: new rows.
            mask: the caller's mask.
            batch: rows of the batch.

        Raises:
            IWPError: something changed the cache, or tokens of the cache are given again.
        """
        if length - short != self.removed or length < self.read:
            raise IWPError("The cache was changed after the cut: start with an empty one.")
        if not self.left.serves(batch):
            raise IWPError("The batch has changed since the cut: start with an empty cache.")
        if mask is not None and mask.shape[1] != length + new:
            raise IWPError(
                "The mask does not fit what the cache has read. After a cut before layer 0, "
                "generate() needs the new tokens alone: give only these, or cut before layer 1."
            )

    def positions(self, mask: Tensor | None, total: int, new: int) -> Tensor:
        """(..., B or 1, new) positions of the last `new` of `total` columns, one for each token."""
        later = torch.arange(total - self.read)[None]
        if mask is not None:
            later = mask[:, self.read : total].long().cumsum(-1) - 1
        if isinstance(self.next_position, Tensor):
            later = later.to(self.next_position.device)
        return (self.next_position + later.clamp(min=0))[..., -new:]


class Shortened:
    """One pass of a prompt's rows through the layers after a cut, as their forward pre-hook.

    Args:
        kernel: the decoder's attention.
        rows: the rows that go on, or None where this pass drops none.
        columns: the past + new columns that these layers look at.
        past: rows that the cache of these layers held before.
        new: rows of this pass that go on.
    """

    def __init__(
        self, kernel: str, rows: Rows | None, columns: Columns, past: int, new: int
    ) -> None:
        self._kernel = kernel
        self._rows = rows
        self._columns = columns
        self._past = past
        self._new = new
        self._shared: dict[tuple[str, torch.device], Any] = {}

    def __call__(
        self, _: nn.Module, args: tuple[Any, ...], call: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What a layer is called with, given short hidden states and everything else whole."""
        hidden, rows, short = args[0], self._rows, dict(call)
        # A later cut that leaves fewer rows gives a mask of its own.
        if hidden.shape[1] == self._new:
            short["attention_mask"] = self._once(
                "mask",
                hidden.device,
                lambda: attention_mask(self._kernel, self._columns, self._past, hidden),
            )
        if rows is not None:
            tables = call["position_embeddings"]
            short["position_embeddings"] = self._once(
                "tables", tables[0].device, lambda: tuple(rows.take(table) for table in tables)
            )
            if call.get("position_ids") is not None:
                # The rotary tables carry the true positions. These only tell flash attention where
                # packed sequences begin, and it must not take a gap for a beginning.
                short["position_ids"] = call["position_ids"][..., : hidden.shape[1]]
        return args, short

    def _once(self, name: str, device: torch.device, make: Callable[[], Any]) -> Any:
        """`make()`, computed once for all layers of a device."""
        if (name, device) not in self._shared:
            self._shared[name, device] = make()
        return self._shared[name, device]
