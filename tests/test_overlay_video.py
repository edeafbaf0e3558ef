"""Overlays of videos, frame by frame against the overlay of a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from iwp import overlay, overlay_video
from iwp.overlay import ONLY_LEFT, ONLY_RIGHT, Mode
from iwp.types import Block, Media, TokenGrid, VisualLayout

WHOLE = (Block(0, 2, 0, 2, 0.0, 0.0, 8.0, 8.0),)
MARGIN = (Block(0, 2, 0, 2, 0.0, 0.0, 7.0, 6.5),)


def _layout(starts: list[int], blocks: tuple[Block, ...] = WHOLE) -> VisualLayout:
    """2 x 2 tokens from each of these frames on, then a token that ends the video."""
    grids = tuple(
        TokenGrid(f"frame{start}", f"Frame {start + 1}", 2, 2, 4 * i, blocks, frame=start)
        for i, start in enumerate(starts)
    )
    return VisualLayout(4 * len(starts) + 1, 8, 8, grids)


def _media(frames: int) -> Media:
    levels = (90 + 40 * i for i in range(frames))
    pictures = tuple(Image.new("RGB", (8, 8), (level, level, level)) for level in levels)
    return Media(pictures, tuple(map(float, range(frames))), "video")


def _by_hand(media: Media, layout: VisualLayout, number: int) -> tuple[Media, VisualLayout]:
    """One frame as a picture, with the grid that shows it."""
    grid = [grid for grid in layout.grids if grid.frame <= number][-1]
    alone = replace(layout, grids=(replace(grid, frame=0),))
    return Media((media.frames[number],)), alone


@pytest.mark.parametrize("mode", ["mask", "heat", "outline"])
@pytest.mark.parametrize("starts", [[0, 1, 2, 3], [0, 2]], ids=str)
@pytest.mark.parametrize("blocks", [WHOLE, MARGIN], ids=["whole", "margin"])
def test_frames_look_as_pictures_do(
    mode: Mode, starts: list[int], blocks: tuple[Block, ...]
) -> None:
    media, layout = _media(4), _layout(starts, blocks)
    ranks = torch.randperm(layout.n).tolist()
    keep = layout.n // 2
    shown = list(overlay_video.frames(media, layout, ranks, keep, mode))
    assert len(shown) == 4
    for number, picture in enumerate(shown):
        alone, one = _by_hand(media, layout, number)
        expected = overlay.render(alone, one, ranks, keep, mode)
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))


def test_every_frame_lights_its_own_tokens() -> None:
    media, layout = _media(3), _layout([0, 1, 2])
    ranks = [*(9, 9, 9, 0), *(1, 9, 9, 9), *(9, 9, 9, 9), 2]
    lit = [
        (np.asarray(picture) == np.asarray(frame)).all(axis=2)
        for picture, frame in zip(
            overlay_video.frames(media, layout, ranks, 3), media.frames, strict=True
        )
    ]
    corner = np.zeros((8, 8), bool)
    corner[4:, 4:] = True
    np.testing.assert_array_equal(lit[0], corner)
    np.testing.assert_array_equal(lit[1], corner[::-1, ::-1])
    assert not lit[2].any()


def test_differences_look_as_those_of_pictures_do() -> None:
    media, layout = _media(3), _layout([0, 2], MARGIN)
    left, right = [0, 1, 5, 8], [1, 2, 5, 7]
    shown = list(overlay_video.differences(media, layout, left, right))
    for number, picture in enumerate(shown):
        alone, one = _by_hand(media, layout, number)
        expected = overlay.difference(alone, one, left, right)
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))
    tinted = [
        tuple(round(0.4 * 90 + 0.6 * value) for value in colour)
        for colour in (ONLY_LEFT, ONLY_RIGHT)
    ]
    assert [shown[0].getpixel(place) for place in ((0, 0), (0, 5))] == tinted


def test_a_frame_is_painted_when_it_is_asked_for() -> None:
    shown = overlay_video.frames(_media(3), _layout([0, 1, 2]), list(range(13)), 5)
    assert next(shown).size == (8, 8)
    assert len(list(shown)) == 2


def test_tokens_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    original = overlay_video.token_of_pixel

    def counted(*given: Any) -> Any:
        calls.append(given)
        return original(*given)

    monkeypatch.setattr(overlay_video, "token_of_pixel", counted)
    layout = _layout([0, 1, 2, 3])
    list(overlay_video.frames(_media(4), layout, list(range(layout.n)), 5))
    assert len(calls) == 1
    mixed = replace(layout, grids=(*layout.grids[:2], *_layout([0, 1, 2, 3], MARGIN).grids[2:]))
    list(overlay_video.frames(_media(4), mixed, list(range(layout.n)), 5))
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("n", "size", "places"),
    [
        (1, (30, 20), [(0, 0)]),
        (2, (30, 20), [(0, 0), (0, 28)]),
        (4, (20, 20), [(0, 0), (28, 0), (0, 28), (28, 28)]),
        (3, (20, 20), [(0, 0), (28, 0), (0, 28)]),
    ],
)
def test_a_sheet_has_rows(n: int, size: tuple[int, int], places: list[tuple[int, int]]) -> None:
    pictures = [Image.new("RGB", size, (50 * i, 0, 0)) for i in range(n)]
    sheet = overlay_video.sheet(pictures)
    for i, (x, y) in enumerate(places):
        cell = np.asarray(sheet.crop((x, y, x + size[0], y + size[1])))
        assert (cell == (50 * i, 0, 0)).all()
    assert sheet.width == max(x for x, _ in places) + size[0]
    assert sheet.height == max(y for _, y in places) + size[1]


def test_a_large_sheet_is_reduced() -> None:
    sheet = overlay_video.sheet([Image.new("RGB", (1280, 720))] * 64)
    assert 3900 < sheet.width <= 4096 + 6 * 8
    assert sheet.height < 4500
