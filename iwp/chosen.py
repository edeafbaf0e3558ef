"""What a method chose of every prompt of a batch, and what the batch becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iwp.pruners.base import Choice
from iwp.rows import Rows
from iwp.types import Cut


@dataclass(frozen=True)
class Chosen:
    """What a cut leaves of B prompts with S new rows each.

    Attributes:
        rows: the rows that go on; None where all do and none is weighed.
        choices: for each prompt, in numbers of the visual tokens that reached the cut, which lie on
            the CPU.
        cuts: the same in numbers of the original ones.
        places: for each prompt, (m,) int64 rows of its kept tokens.
    """

    rows: Rows | None
    choices: tuple[Choice, ...]
    cuts: tuple[Cut, ...]
    places: tuple[Tensor, ...]

    @classmethod
    def of(
        cls,
        stays: Tensor,
        visual: Tensor,
        choices: Sequence[Choice],
        cuts: Sequence[Cut],
        places: Sequence[Tensor],
    ) -> Chosen:
        """From the (B, S) bool rows that are no padding, and those of them that are visual."""
        goes_on = stays & ~visual
        for row, left in enumerate(places):
            goes_on[row, left] = True
        weighed = any(choice.sizes is not None for choice in choices)
        same = not weighed and torch.equal(goes_on, stays)
        rows = None if same else Rows.packed(goes_on)
        return cls(rows, tuple(choices), tuple(cuts), tuple(places))

    def rewritten(self, hidden: Tensor) -> Tensor:
        """The (B, S, D) input of the layer, with the rows of kept tokens that become others."""
        return _written(hidden, self.places, [choice.rows for choice in self.choices])

    def bias(self, like: Tensor) -> Tensor | None:
        """(B, S) float32 logarithms of the sizes, 0 elsewhere; None where nothing is weighed.

        They lie on the device of `like` (B, S, D).
        """
        sizes = [choice.sizes for choice in self.choices]
        if all(one is None for one in sizes):
            return None
        logs = [None if one is None else one.float().log() for one in sizes]
        return _written(like.new_zeros(like.shape[:2], dtype=torch.float32), self.places, logs)


def _written(table: Tensor, places: Sequence[Tensor], values: Sequence[Tensor | None]) -> Tensor:
    """A table (B, S, ...) with new values (m, ...) at the places (m,) of each prompt that has any.

    The table itself stays as it is; gradients reach its other rows.
    """
    found = [
        (torch.full_like(at, row), at, new)
        for row, (at, new) in enumerate(zip(places, values, strict=True))
        if new is not None
    ]
    if not found:
        return table
    prompts, columns, new = (
        torch.cat([one.to(table.device) for one in some]) for some in zip(*found, strict=True)
    )
    return table.index_put((prompts, columns), new.to(table.dtype))
