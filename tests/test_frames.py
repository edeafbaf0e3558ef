"""Tokens of every frame, counted by hand."""

from __future__ import annotations

from dataclasses import replace

from iwp import frames
from iwp.types import TokenGrid, VisualLayout


def _layout(starts: list[int]) -> VisualLayout:
    """2 x 2 tokens from each of these frames on, then a token that ends the video."""
    grids = tuple(
        TokenGrid(f"frame{start}", f"Frame {start + 1}", 2, 2, 4 * i, (), frame=start)
        for i, start in enumerate(starts)
    )
    return VisualLayout(4 * len(starts) + 1, 8, 8, grids)


def test_kept_tokens_are_counted_for_every_frame() -> None:
    layout = _layout([0, 1, 2])
    assert frames.kept_per_grid(layout, [0, 3, 4, 11, 12]) == [2, 1, 1]  # 12: of no frame
    assert frames.kept_per_grid(layout, range(13)) == [4, 4, 4]
    assert frames.kept_per_grid(layout, []) == [0, 0, 0]
    ends = replace(layout, grids=(replace(layout.grids[0], newline=True),))
    assert frames.kept_per_grid(ends, [2, 5, 6]) == [2]  # two rows of 2 and their ends


def test_a_grid_knows_its_frames() -> None:
    assert frames.frames_of(_layout([0, 1, 2]), 3) == [range(1), range(1, 2), range(2, 3)]
    assert frames.frames_of(_layout([0, 2, 4]), 5) == [range(2), range(2, 4), range(4, 5)]


def test_tokens_have_the_labels_of_their_frames() -> None:
    assert frames.labels(_layout([0, 2])) == {
        **dict.fromkeys(range(4), "Frame 1"),
        **dict.fromkeys(range(4, 8), "Frame 3"),
    }
