"""Views of random prompts for the methods that read the vision tower."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from iwp.pruners.base import LayerView
from iwp.types import Tower
from tests.test_pruners_iwp import view


def looked_at(
    features: Tensor, saliency: Tensor, keys: Tensor | None = None, ends: Tensor | None = None
) -> LayerView:
    """A prompt of two words, the picture, and two words."""
    n, width = features.shape
    words = torch.ones(2, width, dtype=features.dtype)
    return replace(
        view(0, ends),
        hidden=torch.cat((words, features, words)),
        visual=torch.arange(2, n + 2),
        text=torch.arange(n + 2, n + 4),
        prompt=torch.arange(n + 4),
        tower=Tower(saliency, features[:, :3] if keys is None else keys),
    )


def drawn(seed: int, n: int, *, with_ends: bool = False) -> LayerView:
    generator = torch.Generator().manual_seed(seed)
    features, keys = torch.randn(n, 6, generator=generator), torch.randn(n, 4, generator=generator)
    saliency = torch.rand(n, generator=generator) ** 3
    if not with_ends:
        return looked_at(features, saliency, keys)
    ends = torch.arange(n)[4::5]  # rows of four and their ends
    keys[ends], saliency[ends], features[ends] = 0.0, 0.0, features[0].clone()
    return looked_at(features, saliency, keys, ends)


def numbers(of: LayerView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, saliency and keys in float64."""
    tower = of.in_tower
    tables = (of.hidden[of.visual], tower.saliency, tower.keys)
    return tuple(table.double().numpy() for table in tables)  # type: ignore[return-value]
