"""The rows of a batch that go on after a cut, packed to the right. Pure tensor work."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Which rows of S new ones go on in each of B prompts.

    Prompts lose different numbers of rows; shorter ones are filled up on the left. All of it lies
    on the CPU, where it is counted.

    Attributes:
        stays: (B, S) bool, true for rows that go on.
        index: (B, M) int64, the rows of each prompt in ascending order, its filling first.
        real: (B, M) bool, false for filling; None where there is none.
    """

    stays: Tensor
    index: Tensor
    real: Tensor | None

    @classmethod
    def packed(cls, stays: Tensor) -> Rows:
        """Pack the rows where `stays` (B, S) is true to the right, at the longest prompt's length.

        Every prompt keeps its last row. Filling repeats rows that do not go on: their numbers are
        finite, and nobody may look at them.
        """
        counts = stays.sum(dim=1)
        longest, shortest = int(counts.max()), int(counts.min())
        order = stays.to(torch.uint8).argsort(dim=1, stable=True)
        index = order[:, stays.shape[1] - longest :]
        return cls(stays, index, stays.gather(1, index) if shortest < longest else None)

    @property
    def removed(self) -> int:
        """By how many rows the batch gets shorter."""
        return self.stays.shape[1] - self.index.shape[1]

    def take(self, table: Tensor) -> Tensor:
        """The rows of a table: (..., B or 1, S, r) -> (..., B, M, r), on the table's device."""
        index = self.index.to(table.device)
        table = table.expand(*table.shape[:-3], index.shape[0], *table.shape[-2:])
        return table[..., torch.arange(index.shape[0], device=table.device)[:, None], index, :]

    def take_columns(self, table: Tensor) -> Tensor:
        """The columns of a table over rows, filling included: (B, S) -> (B, M)."""
        return table.gather(1, self.index.to(table.device))

    def take_mask(self, mask: Tensor) -> Tensor:
        """The columns of a mask over rows, filling false: (B, S) bool -> (B, M)."""
        taken = self.take_columns(mask)
        return taken if self.real is None else taken & self.real.to(mask.device)
