"""Overlays as small arrays, compared exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from iwp.adapters.anyres import AnyRes
from iwp.overlay import (
    NO_TOKEN,
    ONLY_LEFT,
    ONLY_RIGHT,
    difference,
    kept_first,
    render,
    side_by_side,
    token_of_pixel,
)
from iwp.types import Block, Media, TokenGrid, VisualLayout
from tests import tiny

GREY = Media((Image.new("RGB", (8, 8), (100, 100, 100)),))
# 2 x 2 tokens of 3 pixels, then a row-end token each; 1 pixel of seam, 1 pixel of margin
GRID = TokenGrid(
    "hires",
    "High resolution",
    2,
    2,
    1,
    (
        Block(0, 1, 0, 1, 0, 0, 3, 3),
        Block(0, 1, 1, 2, 4, 0, 7, 3),
        Block(1, 2, 0, 1, 0, 4, 3, 7),
        Block(1, 2, 1, 2, 4, 4, 7, 7),
    ),
    newline=True,
)
BASE = TokenGrid("base", "Whole picture", 1, 1, 0, (Block(0, 1, 0, 1, 0, 0, 8, 8),))
LAYOUT = VisualLayout(7, 8, 8, (BASE, GRID))
RANKS = [3, 0, 6, 4, 5, 1, 2]  # tokens 1 and 5 come first
TOKENS = np.array(
    [
        [1, 1, 1, -1, 2, 2, 2, -1],
        [1, 1, 1, -1, 2, 2, 2, -1],
        [1, 1, 1, -1, 2, 2, 2, -1],
        [-1, -1, -1, -1, -1, -1, -1, -1],
        [4, 4, 4, -1, 5, 5, 5, -1],
        [4, 4, 4, -1, 5, 5, 5, -1],
        [4, 4, 4, -1, 5, 5, 5, -1],
        [-1, -1, -1, -1, -1, -1, -1, -1],
    ]
)
KEPT = np.isin(TOKENS, [1, 5])
RIM = np.array(
    [
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 1, 0, 1, 0],
        [0, 0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=bool,
)


def _paint(rgb: dict[tuple[int, int, int], np.ndarray]) -> np.ndarray:
    image = np.zeros((8, 8, 3), np.uint8)
    for colour, where in rgb.items():
        image[where] = colour
    return image


def test_every_pixel_knows_its_token() -> None:
    np.testing.assert_array_equal(token_of_pixel(LAYOUT, GRID), TOKENS)
    np.testing.assert_array_equal(token_of_pixel(LAYOUT, BASE), np.zeros((8, 8)))


def test_mask() -> None:
    image = np.asarray(render(GREY, LAYOUT, RANKS, 2))
    expected = _paint({(30, 31, 38): ~KEPT, (100, 100, 100): KEPT})
    np.testing.assert_array_equal(image, expected)


def test_outline() -> None:
    image = np.asarray(render(GREY, LAYOUT, RANKS, 2, "outline"))
    expected = _paint({(51, 52, 56): ~KEPT, (100, 100, 100): KEPT, (255, 213, 74): RIM})
    np.testing.assert_array_equal(image, expected)


def test_heat() -> None:
    image = np.asarray(render(GREY, LAYOUT, RANKS, 2, "heat"))
    first, last = image[0, 0].tolist(), image[0, 4].tolist()
    # viridis ends in (253, 231, 36) and (68, 1, 84); 40 % of the grey shines through
    assert np.abs(np.array(first) - [192, 179, 62]).max() <= 1
    assert np.abs(np.array(last) - [81, 41, 90]).max() <= 1
    for token in (1, 2, 4, 5):
        assert len(np.unique(image[token == TOKENS], axis=0)) == 1
    assert (image[TOKENS == NO_TOKEN] == (30, 31, 38)).all()


@pytest.mark.parametrize(
    ("keep", "lit"), [(0, []), (1, [1]), (4, [1, 5]), (6, [1, 4, 5]), (7, [1, 2, 4, 5])]
)
def test_keep_counts_all_tokens_whether_shown_or_not(keep: int, lit: list[int]) -> None:
    image = np.asarray(render(GREY, LAYOUT, RANKS, keep))
    np.testing.assert_array_equal((image == 100).all(axis=2), np.isin(TOKENS, lit))


def test_ranks_may_be_a_tensor_and_the_picture_is_untouched() -> None:
    before = np.asarray(GREY.frames[0]).copy()
    ours = render(GREY, LAYOUT, torch.tensor(RANKS), 2)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(render(GREY, LAYOUT, RANKS, 2)))
    np.testing.assert_array_equal(np.asarray(GREY.frames[0]), before)


def test_another_grid_and_the_fallback() -> None:
    whole = np.asarray(render(GREY, LAYOUT, RANKS, 4, grid="base"))
    assert (whole == 100).all()
    alone = VisualLayout(1, 8, 8, (BASE,))
    assert (np.asarray(render(GREY, alone, [0], 1)) == 100).all()


@pytest.mark.parametrize("size", [(640, 401), (97, 333), (16, 20), (1000, 700)])
def test_a_real_layout_lights_exactly_its_tokens(size: tuple[int, int]) -> None:
    layout = AnyRes(112, 8, tiny.pinpoints(112, 2), 9).layout(*size)
    media = Media((Image.new("RGB", size, "white"),))
    ranks = torch.randperm(layout.n)
    keep = layout.n // 3
    hires = layout.grids[1]
    lit = (np.asarray(render(media, layout, ranks, keep)) == 255).all(axis=2)
    tokens = token_of_pixel(layout, hires)
    np.testing.assert_array_equal(lit, (tokens >= 0) & (ranks.numpy()[tokens] < keep))
    if min(size) > 100:
        real = np.arange(hires.rows * hires.stride).reshape(hires.rows, -1)[:, : hires.cols]
        assert set(np.unique(tokens[tokens >= 0])) == set((hires.offset + real).ravel())


def test_kept_tokens_come_first_whatever_their_ranks() -> None:
    assert kept_first([2, 0, 1, 3], [1, 2]) == [2, 0, 1, 3]  # nested: nothing moves
    assert kept_first([2, 0, 1, 3], [0, 3]) == [0, 2, 3, 1]


def test_the_difference_shows_who_keeps_what() -> None:
    painted = np.asarray(difference(GREY, LAYOUT, left=[1, 2, 6], right=[1, 4]))
    dark = render(GREY, LAYOUT, RANKS, 0).getpixel((7, 7))
    for token, colour in (
        (1, (100, 100, 100)),
        (2, tuple(round(0.4 * 100 + 0.6 * value) for value in ONLY_LEFT)),
        (4, tuple(round(0.4 * 100 + 0.6 * value) for value in ONLY_RIGHT)),
        (5, dark),
        (NO_TOKEN, dark),
    ):
        assert (painted[token == TOKENS] == colour).all(), token


def test_the_difference_of_a_method_and_itself_is_what_it_keeps() -> None:
    same = np.asarray(difference(GREY, LAYOUT, [1, 5], [5, 1]))
    assert (same == np.asarray(render(GREY, LAYOUT, RANKS, 2))).all()


def test_pictures_stand_side_by_side() -> None:
    red, blue = Image.new("RGB", (3, 2), "red"), Image.new("RGB", (5, 2), "blue")
    row = side_by_side([red, blue])
    assert row.size == (3 + 8 + 5, 2)
    assert [row.getpixel((x, 1)) for x in (2, 3, 10, 11, 15)] == [
        *((255, 0, 0), (255, 255, 255), (255, 255, 255), (0, 0, 255), (0, 0, 255))
    ]


def test_a_heat_map_of_what_is_kept_leaves_the_rest_dark() -> None:
    coloured = np.asarray(render(GREY, LAYOUT, RANKS, 2, "kept-heat"))
    masked = np.asarray(render(GREY, LAYOUT, RANKS, 2, "mask"))
    assert (coloured[~KEPT] == masked[~KEPT]).all()
    first, second = coloured[0, 0].astype(int), coloured[5, 5].astype(int)
    assert first.tolist() != second.tolist()
    assert first[0] - first[2] > 50  # yellow: the first rank
