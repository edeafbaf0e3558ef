"""What the widget gets from the server."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from iwp import overlay
from iwp.budget import keep_count
from iwp.errors import InputError
from iwp.events import Ranked
from iwp.pruners import DART, IWP, DivPrune, FastV
from iwp.pruners.base import Pruner
from iwp.types import Media, Ranking
from iwp.ui import token_map
from iwp.ui.kept_at import kept_at
from iwp.ui.sides import Sides
from iwp.ui.token_map import TokenMapData
from iwp.ui.token_sides import kept_bits, side_data
from iwp.ui.visitors import Asked
from tests.browser.tokens import centre_first, two_grids

LAYOUT = two_grids(300, 200)
ORDER = centre_first(LAYOUT)


def numbers(text: str | None, dtype: str) -> list[int]:
    assert text is not None
    return [int(value) for value in np.frombuffer(base64.b64decode(text), dtype=dtype)]


def asked(left: Pruner | None, right: Pruner) -> Asked:
    media = Media((Image.new("RGB", (300, 200)),))
    return Asked("1", media, "What?", 0.222, "/tmp/x.jpg", Sides(left, right, layers=6))


def ranked(left: Pruner | None = None, right: Pruner | None = None) -> TokenMapData:
    session: Any = None
    rival = centre_first(LAYOUT, seed=1) if left else None
    event = Ranked(session, LAYOUT, ORDER, rival)
    return token_map.ranked(asked(left, right or IWP()), event)


def test_every_side_has_every_rank_once_in_prompt_order() -> None:
    alone, both = ranked(), ranked(FastV())
    assert [side.name for side in alone.sides] == ["IWP"]
    assert [side.name for side in both.sides] == ["FastV", "IWP"]
    assert numbers(alone.sides[0].ranks, "<u2") == ORDER.ranks.tolist()
    assert sorted(numbers(both.sides[0].ranks, "<u2")) == list(range(LAYOUT.n))
    assert both.sides[0].ranks != both.sides[1].ranks


def test_what_chooses_anew_for_every_budget_has_no_ranks() -> None:
    side = ranked(DART()).sides[0]
    assert (side.ranks, side.kept_at, side.weight) == (None, None, None)
    assert len(numbers(side.scores, "<u2")) == LAYOUT.n


def test_many_tokens_are_counted_in_32_bits() -> None:
    n = 65_535
    side = side_data("IWP", Ranking(torch.arange(n), torch.zeros(n)), np.full(1000, n))
    assert numbers(side.ranks, "<u4") == list(range(n))
    assert numbers(side.kept_at, "<u4")[0] == n


def test_kept_tokens_are_bits_lowest_first() -> None:
    assert base64.b64decode(kept_bits(10, {0, 3, 9})) == bytes([0b1001, 0b10])
    assert base64.b64decode(kept_bits(8, ())) == bytes([0])


@pytest.mark.parametrize("scores", [torch.zeros, torch.rand])
def test_scores_survive_as_16_bits(scores: object) -> None:
    values = scores(500)  # type: ignore[operator]
    side = side_data("IWP", Ranking(torch.arange(500), values), None)
    steps = np.array(numbers(side.scores, "<u2")) / 65535
    assert np.allclose(side.low + (side.high - side.low) * steps, values.numpy(), atol=1e-4)


def test_scores_that_are_no_numbers_do_not_break_the_page() -> None:
    ranking = Ranking(torch.arange(9), torch.full((9,), float("nan")))
    side = side_data("IWP", ranking, None)
    assert (side.low, side.high) == (0.0, 0.0)


def test_the_picture_alone_has_another_id() -> None:
    alone = token_map.unranked(asked(None, IWP()))
    assert (alone.n, alone.width, alone.height) == (0, 300, 200)
    assert alone.id != ranked().id


def test_the_dual_weight_goes_along_where_it_was_measured() -> None:
    ranking = Ranking(torch.arange(500), torch.zeros(500))
    counts = kept_at(IWP(), "cut", 500, 6)
    assert side_data("IWP", ranking, counts).weight is None
    errors = torch.linspace(1.0, 0.0, 501)
    errors[0] = 1.2  # a prefix can be worse than nothing
    sent = side_data("IWP", replace(ranking, weight_errors=errors), counts).weight
    kept = np.array(numbers(sent, "<u2")) / 65535
    assert kept[0] == 0.0
    assert np.allclose(kept[1:], 1 - errors[1:].numpy(), atol=1e-4)


def test_the_nearest_duplicates_go_along_where_they_were_found() -> None:
    ranking = Ranking(torch.arange(4), torch.zeros(4))
    assert side_data("IWP", ranking, None).twins is None
    found = side_data("IWP", replace(ranking, twins=torch.tensor([1, 0, 2, 0])), None)
    assert numbers(found.twins, "<u2") == [1, 0, 2, 0]


def test_a_large_picture_costs_few_bytes() -> None:
    assert LAYOUT.n > 7290
    assert len(ranked().model_dump_json()) < 12 * LAYOUT.n
    assert len(ranked(FastV()).model_dump_json()) < 24 * LAYOUT.n
    assert len(kept_bits(LAYOUT.n, range(LAYOUT.n))) < LAYOUT.n / 5


@pytest.mark.parametrize("method", [IWP(layer=3), FastV(layer=2), DivPrune(layer=0)])
@pytest.mark.parametrize("n", [7, 1008])
def test_counts_at_every_budget_are_those_of_the_methods(method: Pruner, n: int) -> None:
    cut = kept_at(method, "cut", n, 6)
    assert cut.tolist() == [keep_count(n, step / 1000) for step in range(1, 1001)]
    average = kept_at(method, "average", n, 6)
    for step in (1, 50, 200, 332, 333, 334, 400, 499, 500, 501, 750, 999, 1000):
        assert average[step - 1] == left_at_average(method, step / 1000, n)


def left_at_average(method: Pruner, average: float, n: int) -> int:
    try:
        return method.at_average(average, n, 6).plan(n)[-1][1]
    except InputError:
        return -1


def test_a_cut_after_the_last_layer_leaves_everything_to_be_read() -> None:
    average = kept_at(IWP(layer=6), "average", 100, 6)
    assert set(average[:990]) == {-1}
    assert average[-1] == 100


def test_out_of_reach_is_more_than_all() -> None:
    ranking = Ranking(torch.arange(100), torch.zeros(100))
    side = side_data("FastV", ranking, kept_at(FastV(layer=3), "average", 100, 6))
    assert numbers(side.kept_at, "<u2")[:5] == [101] * 5


def test_the_colours_are_those_of_saved_pictures() -> None:
    assert f'"left": {list(overlay.ONLY_LEFT)}' in token_map.JS


def test_templates_are_safe_for_gradio() -> None:
    # gradio runs both through Handlebars and a JavaScript template literal
    folder = Path(token_map.__file__).parent
    for name in ("token_map.html", "token_map.css"):
        text = (folder / name).read_text("utf-8")
        assert not any(mark in text for mark in ("`", "${", "{{", "\\"))
    assert "@keyframes" not in (folder / "token_map.css").read_text("utf-8")
