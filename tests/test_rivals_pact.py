"""PACT alone: how many rows it projects, and what a distance of its own rules out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from iwp.errors import InputError
from iwp.pruners.pact import PACT, importance
from tests.test_pruners_iwp import view


@pytest.mark.parametrize("normed", [False, True])
def test_pact_projects_one_row_where_it_can(normed: bool) -> None:
    of = view(3)
    attention: Any = of.layer.self_attn
    if normed:
        attention.q_norm = torch.nn.RMSNorm(attention.head_dim)
    truth = of.queries(of.prompt).double().mean(dim=1)
    rows: list[int] = []
    attention.q_proj.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    torch.testing.assert_close(of.mean_query(of.prompt).double(), truth, rtol=1e-4, atol=1e-5)
    until = int(of.visual_in_prompt[-1]) + 1
    importance(of)
    assert rows == ([len(of.prompt), until] if normed else [1, 1])


def test_a_fixed_distance_meets_no_layer_average() -> None:
    with pytest.raises(InputError, match="as many tokens as come out"):
        PACT(distance=0.21).at_average(0.4, 729, 28)
    assert PACT().at_average(0.4, 729, 28).plan(729)[0][1] < 729
