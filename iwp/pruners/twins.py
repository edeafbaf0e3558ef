"""Which visual tokens duplicate each other most, in the layer that is about to be cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from iwp import dual, fidelity

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView


def nearest(view: LayerView) -> Tensor:
    """For every visual token the one that duplicates it most, whatever method chooses.

    By the paper's duplication (Eq. 12) with the median bandwidth, which tells likeness in every
    model: the fixed one takes all tokens for unlike where keys lie far apart.

    Returns:
        (n,) int64 numbers on the view's device; a token's own number where none is like it.
    """
    keys = view.rotate(view.visual_keys, view.visual)
    width = dual.kernel_width(keys, "median")
    similarity = dual.similarity_between(keys, view.visual_values, width)
    found = []
    for start in range(0, view.n, fidelity.CHUNK):
        these = torch.arange(start, min(start + fidelity.CHUNK, view.n), device=keys.device)
        alike = similarity.table(similarity.take(these))
        alike[these, torch.arange(len(these), device=keys.device)] = 0.0  # not with itself
        most = alike.max(dim=0)
        found.append(torch.where(most.values > 0, most.indices, these))
    return torch.cat(found)
