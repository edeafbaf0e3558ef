"""The layout against the real image processor and the model's own packing.

A picture whose red is x, green is y and blue is 1 goes through the real processor. The mean of a
patch then says where on the picture it came from and how much of it is padding; pushed through
the model's own `pack_image_features`, each token carries the centre it must have in the layout.
"""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import LlavaOnevisionImageProcessor
from transformers.models.llava_onevision.modeling_llava_onevision import LlavaOnevisionModel

from iwp.adapters.anyres import AnyRes
from iwp.adapters.geometry import Axis
from iwp.types import TokenGrid
from tests import tiny
from tests.painting import inside, places, ramps

SMALL = AnyRes(112, 8, tiny.pinpoints(112, 2), 9)
LARGE = AnyRes(384, 14, tiny.pinpoints(384, 6), 9)
SIZES = [
    (112, 112), (640, 480), (480, 640), (1000, 700), (700, 1000), (333, 77), (77, 333),
    (1201, 799), (64, 64), (900, 301), (225, 224), (1919, 1080), (16, 320), (320, 16),
]  # fmt: skip
LARGE_SIZES = [
    (384, 384), (640, 480), (1000, 700), (700, 1000), (333, 77), (1200, 800), (800, 1200),
    (2304, 2304), (2000, 1500), (1600, 401), (401, 1600), (100, 2000), (2900, 1937),
    (1536, 1152), (1920, 768),
]  # fmt: skip
CASES = [(SMALL, *s) for s in SIZES] + [(LARGE, *s) for s in LARGE_SIZES]


def _name(value: object) -> str:
    return f"{value.crop}/{value.patch}" if isinstance(value, AnyRes) else str(value)


every_size = pytest.mark.parametrize(("anyres", "width", "height"), CASES, ids=_name)


def _crops(anyres: AnyRes, picture: np.ndarray) -> torch.Tensor:
    """(crops, 3, crop, crop) as the vision tower would get them, colours untouched."""
    crop = {"height": anyres.crop, "width": anyres.crop}
    read = LlavaOnevisionImageProcessor(
        size=crop,
        image_grid_pinpoints=anyres.pinpoints,
        do_rescale=False,
        do_normalize=False,
    )
    picture = picture.transpose(2, 0, 1)
    made = read([picture], return_tensors="pt", input_data_format="channels_first")
    return made["pixel_values"][0]


def _pack(anyres: AnyRes, patches: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """(crops, patches, D) -> (n, D) by the model's own packing; row-end tokens are NaN."""
    vision = SimpleNamespace(image_size=anyres.crop, patch_size=anyres.patch)
    pinpoints = [list(p) for p in anyres.pinpoints]
    owner = SimpleNamespace(
        config=SimpleNamespace(vision_config=vision, image_grid_pinpoints=pinpoints)
    )
    packed, _ = LlavaOnevisionModel.pack_image_features(
        owner,
        [patches],
        torch.tensor([[height, width]]),
        image_newline=torch.full((patches.shape[-1],), torch.nan),
        vision_aspect_ratio=f"anyres_max_{anyres.max_crops}",
    )
    return packed[0]


def _patch_means(anyres: AnyRes, crops: torch.Tensor) -> torch.Tensor:
    """(crops, 3, crop, crop) -> (crops, side * side, 3); leftover pixels fall away."""
    used = anyres.side * anyres.patch
    cells = torch.nn.functional.avg_pool2d(crops[..., :used, :used], anyres.patch)
    return cells.flatten(2).transpose(1, 2)


@every_size
def test_each_token_lies_where_the_processor_took_it_from(
    anyres: AnyRes, width: int, height: int
) -> None:
    layout = anyres.layout(width, height)
    crops = _crops(anyres, ramps(width, height))
    packed = _pack(anyres, _patch_means(anyres, crops), width, height).numpy()
    boxes, newline, grid_of = places(layout)

    assert len(packed) == layout.n
    assert (grid_of >= 0).all()
    np.testing.assert_array_equal(np.isnan(packed[:, 0]), newline)

    placed = ~np.isnan(boxes[:, 0])
    coverage = packed[:, 2]
    assert (np.abs(coverage[~placed & ~newline]) < 1e-6).all(), (
        "a token on the picture got no place"
    )
    assert (coverage[placed] > 0).all()
    assert (boxes[placed] >= 0).all()
    assert (boxes[placed][:, [0, 2]] <= width + 1e-9).all()
    assert (boxes[placed][:, [1, 3]] <= height + 1e-9).all()

    for index, grid in enumerate(layout.grids):
        here = placed & (grid_of == index)
        box = boxes[here]
        centre = packed[here, :2] / coverage[here, None]
        off = np.abs(centre - (box[:, :2] + box[:, 2:]) / 2)
        scale = np.maximum((box[:, 2:] - box[:, :2]).max(axis=0) / anyres.patch, 1)
        if _is_reduced(grid, anyres):
            seam = anyres.crop - anyres.side * anyres.patch
            assert (off <= (seam + anyres.patch) * scale).all()
        else:
            # bicubic resampling bends a ramp only within its reach of the picture's border
            inner = inside(box, width, height, margin=3 * scale)
            assert off[inner].max(initial=0) < 0.01
            assert (off <= 0.5 * scale).all()


def _is_reduced(grid: TokenGrid, anyres: AnyRes) -> bool:
    return any(max(b.c1 - b.c0, b.r1 - b.r0) > anyres.side for b in grid.blocks)


@every_size
def test_partly_padded_tokens_cover_what_the_layout_says(
    anyres: AnyRes, width: int, height: int
) -> None:
    layout = anyres.layout(width, height)
    if any(_is_reduced(grid, anyres) for grid in layout.grids):
        pytest.skip("interpolation mixes the coverage of neighbours")
    if max(width, height) >= 20 * min(width, height):
        pytest.skip("no cell across the picture is whole, so none can be compared with")
    crops = _crops(anyres, ramps(width, height))
    coverage = _pack(anyres, _patch_means(anyres, crops), width, height).numpy()[:, 2]
    boxes, _, grid_of = places(layout)
    placed = ~np.isnan(boxes[:, 0])
    for index in range(len(layout.grids)):
        here = placed & (grid_of == index)
        sides = boxes[here][:, 2:] - boxes[here][:, :2]
        share = (sides / sides.max(axis=0)).prod(axis=1)
        np.testing.assert_allclose(share, coverage[here], atol=1e-5)


@pytest.mark.parametrize(("anyres", "width", "height"), [(SMALL, 640, 400), (LARGE, 1000, 700)])
def test_painting_a_cell_changes_its_token_most(anyres: AnyRes, width: int, height: int) -> None:
    layout = anyres.layout(width, height)
    boxes, newline, grid_of = places(layout)
    plain = np.zeros((height, width, 3), dtype=np.float32)
    before = _patch_means(anyres, _crops(anyres, plain))
    tokens = np.flatnonzero(~np.isnan(boxes[:, 0]) & (grid_of == 1))
    for token in np.random.default_rng(0).choice(tokens, 8, replace=False):
        x0, y0, x1, y1 = np.rint(boxes[token]).astype(int)
        painted = plain.copy()
        painted[y0:y1, x0:x1] = 255
        after = _patch_means(anyres, _crops(anyres, painted))
        change = _pack(anyres, after - before, width, height).abs().sum(dim=1).numpy()
        change[newline | (grid_of == 0)] = 0
        assert change.argmax() == token
        neighbours = np.flatnonzero(change > 0.1 * change.max())
        assert len(neighbours) <= 9


def test_large_crops_leave_six_pixels_at_each_seam_to_no_token() -> None:
    layout = LARGE.layout(1152, 768)
    hires = layout.grids[1]
    assert (hires.rows, hires.cols, len(hires.blocks)) == (54, 81, 6)
    assert [(b.x0, b.x1) for b in hires.blocks[:3]] == [(0, 378), (384, 762), (768, 1146)]
    assert [(b.y0, b.y1) for b in hires.blocks[::3]] == [(0, 378), (384, 762)]
    base = layout.grids[0].blocks
    assert [(b.x1, b.y1) for b in base] == [(1152 * 378 / 384, 768 * 378 / 384)]


def test_beyond_nine_crops_the_grid_is_one_reduced_block() -> None:
    hires = LARGE.layout(2304, 2304).grids[1]
    assert (hires.rows, hires.cols, len(hires.blocks)) == (81, 81, 1)
    assert hires.blocks[0].x1 == 2304 - 6


def test_a_cut_cell_is_a_span_of_its_own_and_a_padded_one_has_none() -> None:
    axis = Axis(source=200, shown=20, pad=10)  # canvas pixels 10..30 show the picture
    spans = axis.spans(range(5), start=0, step=Fraction(8))
    assert [tuple(s) for s in spans] == [(1, 2, 0, 60), (2, 3, 60, 140), (3, 4, 140, 200)]


def test_a_picture_too_long_for_any_row_keeps_its_base_crop() -> None:
    layout = SMALL.layout(2900, 100)
    assert [grid.id for grid in layout.grids] == ["base"]
    assert layout.n == 196


@every_size
def test_the_processor_writes_one_placeholder_per_token(
    anyres: AnyRes, width: int, height: int
) -> None:
    processor = tiny.processor(anyres.crop, anyres.patch, round(len(anyres.pinpoints) ** 0.5))
    tokens = processor._get_number_of_features(height, width, anyres.crop, anyres.crop)
    assert tokens == anyres.layout(width, height).n
