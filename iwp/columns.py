"""What attention knows of the keys that it may look at: one column for each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Columns:
    """Keys of a cache, its new rows included.

    Attributes:
        real: (B, columns) bool, false at padding; None where there is none.
        bias: (B, columns) float32, added to the attention scores of each key; None adds nothing.
    """

    real: Tensor | None = None
    bias: Tensor | None = None

    def first(self, count: int) -> Columns:
        """The first of these columns."""
        real, bias = (None if one is None else one[:, :count] for one in (self.real, self.bias))
        return Columns(real, bias)

    def joined(self, later: Columns, width: int, width_later: int) -> Columns:
        """These columns and later ones; None stands for as many tokens as `width` says."""
        real = later.real
        if real is not None and bool(real.all()):
            real = None
        widths = width, width_later
        return Columns(
            _joined(self.real, real, widths, filling=1),
            _joined(self.bias, later.bias, widths, filling=0),
        )

    def serves(self, batch: int) -> bool:
        """Whether these can be the columns of a batch of so many rows."""
        return all(one is None or one.shape[0] == batch for one in (self.real, self.bias))


def _joined(
    left: Tensor | None, right: Tensor | None, widths: tuple[int, int], filling: int
) -> Tensor | None:
    """Two (B, width) tables side by side; None stands for the filling."""
    some = left if left is not None else right
    if some is None:
        return None
    parts = (
        some.new_full((some.shape[0], width), filling) if part is None else part.to(some.device)
        for part, width in zip((left, right), widths, strict=True)
    )
    return torch.cat(tuple(parts), dim=1)
