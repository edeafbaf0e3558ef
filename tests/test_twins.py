"""The nearest duplicate of every visual token, against plain loops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from iwp import dual
from iwp.pruners import twins


def view_of(keys: Tensor, values: Tensor) -> Any:
    """What `nearest` looks at: keys and values of n tokens that rotary leaves alone."""
    n = keys.shape[1]
    return SimpleNamespace(
        n=n,
        visual=torch.arange(n),
        visual_keys=keys,
        visual_values=values,
        rotate=lambda heads, _: heads,
    )


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [2, 5, 130])  # more than one chunk, too
def test_it_is_the_most_alike_of_all_others(n: int) -> None:
    keys, values = random(0, 2, n, 4), random(1, 2, n, 4)
    found = twins.nearest(view_of(keys, values)).tolist()
    width = dual.kernel_width(keys, "median").double()
    for i in range(n):
        alike = []
        for j in range(n):
            kernel = [
                float(torch.exp(-(keys[h, i] - keys[h, j]).double().square().sum() / width[h]))
                for h in range(2)
            ]
            cosine = [
                float(torch.cosine_similarity(values[h, i].double(), values[h, j].double(), dim=0))
                for h in range(2)
            ]
            same = [(k * c) ** 2 for k, c in zip(kernel, cosine, strict=True)]
            alike.append(-1.0 if i == j else sum(same))
        assert alike[found[i]] == pytest.approx(max(alike), rel=1e-4)
        assert found[i] != i


def test_a_copy_is_found() -> None:
    keys, values = random(2, 2, 40, 8), random(3, 2, 40, 8)
    keys[:, 31], values[:, 31] = keys[:, 7], values[:, 7]
    found = twins.nearest(view_of(keys, values))
    assert (int(found[7]), int(found[31])) == (31, 7)


def test_what_is_like_no_other_stands_for_itself() -> None:
    keys, values = random(4, 1, 3, 4), torch.zeros(1, 3, 4)
    assert twins.nearest(view_of(keys, values)).tolist() == [0, 1, 2]
    assert twins.nearest(view_of(keys[:, :1], values[:, :1])).tolist() == [0]
