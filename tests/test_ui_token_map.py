"""What the widget gets from the server."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from iwp.types import Ranking
from iwp.ui import token_map
from tests.browser.fake import centre_first, two_grids


def numbers(text: str, dtype: str) -> list[int]:
    return [int(value) for value in np.frombuffer(base64.b64decode(text), dtype=dtype)]


def test_every_token_is_sent_exactly_once() -> None:
    layout = two_grids(300, 200)
    data = token_map.ranked("1", "/tmp/x.jpg", layout, centre_first(layout), 0.222)
    sent = [rank for grid in data.grids for rank in numbers(grid.ranks, "<u4")]
    sent += [rank for grid in data.grids if grid.row_ends for rank in numbers(grid.row_ends, "<u4")]
    assert sorted(sent) == list(range(layout.n))


def test_ranks_stand_at_their_cells_also_with_row_ends() -> None:
    layout = two_grids(300, 200)
    ranking = Ranking(torch.arange(layout.n), torch.zeros(layout.n))
    fine = token_map.ranked("1", "/tmp/x.jpg", layout, ranking, 0.5).grids[1]
    ranks = np.array(numbers(fine.ranks, "<u4")).reshape(fine.rows, fine.cols)
    assert ranks[2, 5] == fine.offset + 2 * fine.stride + 5
    assert fine.row_ends is not None
    assert numbers(fine.row_ends, "<u4")[2] == fine.offset + 2 * fine.stride + fine.cols


@pytest.mark.parametrize("scores", [torch.zeros, torch.rand])
def test_scores_survive_as_16_bits(scores: object) -> None:
    layout = two_grids(300, 200, crops=1)
    values = scores(layout.n)  # type: ignore[operator]
    ranking = Ranking(torch.arange(layout.n), values)
    base = token_map.ranked("1", "/tmp/x.jpg", layout, ranking, 0.5).grids[0]
    steps = np.array(numbers(base.scores, "<u2")) / 65535
    back = base.low + (base.high - base.low) * steps
    assert np.allclose(back, values[: base.rows * base.cols].numpy(), atol=1e-4)


def test_scores_that_are_no_numbers_do_not_break_the_page() -> None:
    layout = two_grids(300, 200, crops=1)
    ranking = Ranking(torch.arange(layout.n), torch.full((layout.n,), float("nan")))
    base = token_map.ranked("1", "/tmp/x.jpg", layout, ranking, 0.5).grids[0]
    assert (base.low, base.high) == (0.0, 0.0)


def test_the_picture_alone_has_another_id() -> None:
    alone = token_map.unranked("7", "/tmp/x.jpg", (300, 200), 0.5)
    layout = two_grids(300, 200)
    full = token_map.ranked("7", "/tmp/x.jpg", layout, centre_first(layout), 0.5)
    assert alone.n == 0
    assert alone.id != full.id


def test_the_dual_weight_goes_along_where_it_was_measured() -> None:
    layout = two_grids(300, 200, crops=1)
    ranking = Ranking(torch.arange(layout.n), torch.zeros(layout.n))
    assert token_map.ranked("1", "/tmp/x.jpg", layout, ranking, 0.5).weight is None
    errors = torch.linspace(1.0, 0.0, layout.n + 1)
    errors[0] = 1.2  # a prefix can be worse than nothing
    sent = token_map.ranked(
        "1", "/tmp/x.jpg", layout, replace(ranking, weight_errors=errors), 0.5
    ).weight
    assert sent is not None
    kept = np.array(numbers(sent, "<u2")) / 65535
    assert kept[0] == 0.0
    assert np.allclose(kept[1:], 1 - errors[1:].numpy(), atol=1e-4)


def test_a_large_picture_costs_few_bytes() -> None:
    layout = two_grids(1600, 1200)
    data = token_map.ranked("1", "/tmp/x.jpg", layout, centre_first(layout), 0.5)
    assert layout.n > 7290
    assert len(data.model_dump_json()) < 11 * layout.n


def test_templates_are_safe_for_gradio() -> None:
    # gradio runs both through Handlebars and a JavaScript template literal
    folder = Path(token_map.__file__).parent
    for name in ("token_map.html", "token_map.css"):
        text = (folder / name).read_text("utf-8")
        assert not any(mark in text for mark in ("`", "${", "{{", "\\"))
    assert "@keyframes" not in (folder / "token_map.css").read_text("utf-8")
