"""The Qwen layouts against the real image processors and the tiny towers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import Qwen2VLImageProcessor

from iwp.adapters import ADAPTERS, Adapter
from iwp.errors import InputError
from iwp.types import Media
from tests.families import FAMILIES

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
# What the released checkpoints say: patches of 14 or 16 pixels, bounds in pixels.
REAL = {
    "qwen2_vl": {"patch_size": 14, "min_pixels": 3136, "max_pixels": 12845056},
    "qwen2_5_vl": {"patch_size": 14, "size": {"shortest_edge": 3136, "longest_edge": 12845056}},
    "qwen3_vl": {"patch_size": 16, "size": {"shortest_edge": 65536, "longest_edge": 16777216}},
}
SIZES = [
    (1, 1), (16, 16), (28, 28), (56, 84), (640, 480), (480, 640), (333, 77), (77, 333),
    (900, 30), (30, 900), (1000, 701), (225, 1024), (2000, 10), (13, 1),
]  # fmt: skip
SMALL_SIZES = [(64, 48), (48, 64), (40, 40), (71, 50), (300, 20), (20, 300), (333, 222), (17, 16)]

every_family = pytest.mark.parametrize("name", QWEN)


@cache
def _network(name: str) -> Any:
    return FAMILIES[name].model()


def _adapter(name: str, **pictures: Any) -> Adapter:
    """The adapter of a tiny model whose image processor has other settings."""
    processor = FAMILIES[name].processor()
    if pictures:
        processor.image_processor = Qwen2VLImageProcessor(**pictures)
    return ADAPTERS[name](_network(name), processor)


@every_family
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_real_processors_write_one_placeholder_per_token(
    name: str, size: tuple[int, int]
) -> None:
    adapter = _adapter(name, **REAL[name])
    processor = adapter.processor
    made = processor(text=processor.image_token, images=Image.new("RGB", size), return_tensors="pt")
    layout = adapter.layout(*size)
    assert (made["input_ids"] == processor.image_token_id).sum() == layout.n
    merge = processor.image_processor.merge_size
    (grid,) = layout.grids
    assert made["image_grid_thw"].tolist() == [[1, merge * grid.rows, merge * grid.cols]]


@every_family
@pytest.mark.parametrize("size", [(4096, 4096), (4096, 205), (3000, 4000)], ids=str)
def test_large_pictures_are_reduced_as_the_real_processors_do(
    name: str, size: tuple[int, int]
) -> None:
    adapter = _adapter(name, **REAL[name])
    told = adapter.processor._get_num_multimodal_tokens(image_sizes=[[size[1], size[0]]])
    assert told["num_image_tokens"] == [adapter.layout(*size).n]


@every_family
@pytest.mark.parametrize("size", [(201, 1), (1, 300)], ids=str)
def test_a_picture_beyond_the_processors_reach_is_refused(name: str, size: tuple[int, int]) -> None:
    adapter = _adapter(name, **REAL[name])
    with pytest.raises(InputError, match="too long for this model"):
        adapter.prepare(Media((Image.new("RGB", size),)), "What?")


def _boxes(adapter: Adapter, width: int, height: int) -> np.ndarray:
    """(n, 4) x0, y0, x1, y1 of every token, by the layout."""
    (grid,) = adapter.layout(width, height).grids
    (block,) = grid.blocks
    assert (block.x0, block.y0, block.x1, block.y1) == (0, 0, width, height)
    assert (block.r0, block.r1, block.c0, block.c1) == (0, grid.rows, 0, grid.cols)
    xs = np.linspace(0, width, grid.cols + 1)
    ys = np.linspace(0, height, grid.rows + 1)
    return np.array(
        [(xs[c], ys[r], xs[c + 1], ys[r + 1]) for r in range(grid.rows) for c in range(grid.cols)]
    )


@every_family
@pytest.mark.parametrize("size", [*SMALL_SIZES, (640, 480), (1000, 701)], ids=str)
def test_each_token_lies_where_the_processor_took_it_from(name: str, size: tuple[int, int]) -> None:
    """Red is x and green is y, so that the mean of a token's patches is its centre."""
    width, height = size
    adapter = _adapter(name)
    pictures = adapter.processor.image_processor
    ramps = np.zeros((3, height, width), dtype=np.float32)
    ramps[0] = (np.arange(width) + 0.5)[None, :]
    ramps[1] = (np.arange(height) + 0.5)[:, None]
    made = pictures(
        [ramps],
        do_rescale=False,
        do_normalize=False,
        input_data_format="channels_first",
        return_tensors="pt",
    )
    # Consecutive patches make up a token; a patch holds its values channel by channel.
    values = made["pixel_values"].unflatten(0, (-1, pictures.merge_size**2))
    centres = values.unflatten(2, (3, -1)).mean(dim=(1, 3))[:, :2].double().numpy()
    boxes = _boxes(adapter, width, height)
    assert centres.shape == (len(boxes), 2)
    off = np.abs(centres - (boxes[:, :2] + boxes[:, 2:]) / 2)
    sides = boxes[0, 2:] - boxes[0, :2]
    # Bicubic resampling bends a ramp only within its reach of the picture's border.
    reach = np.maximum(2 * sides / (pictures.patch_size * pictures.merge_size), 2)
    inner = (boxes[:, :2] >= reach).all(axis=1) & (boxes[:, 2:] <= size - reach).all(axis=1)
    assert off[inner].max(initial=0) < 0.02
    assert (off <= 0.15 * sides).all()


def _without_attention(name: str) -> Adapter:
    """Each token of this tower sees its own patches alone."""
    network = FAMILIES[name].model()
    for block in network.model.visual.blocks:
        nn.init.zeros_(block.attn.proj.weight)
        nn.init.zeros_(block.attn.proj.bias)
    return ADAPTERS[name](network, FAMILIES[name].processor())


def _changed(adapter: Adapter, picture: np.ndarray, box: np.ndarray) -> torch.Tensor:
    """(n,) how much each token's features change when the pixels of a box are painted."""
    x0, y0, x1, y1 = np.rint(box).astype(int)
    painted = picture.copy()
    painted[y0:y1, x0:x1] = 255 - painted[y0:y1, x0:x1]
    before, after = (
        adapter.encode(adapter.prepare(Media((Image.fromarray(shown),)), "?"))
        for shown in (picture, painted)
    )
    return (after - before).abs().amax(dim=1)


@every_family
@pytest.mark.parametrize("size", SMALL_SIZES, ids=str)
def test_painting_a_cell_changes_its_token(name: str, size: tuple[int, int]) -> None:
    width, height = size
    adapter = _without_attention(name)
    (grid,) = adapter.layout(width, height).grids
    boxes = _boxes(adapter, width, height)
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for token in np.random.default_rng(1).choice(len(boxes), min(8, len(boxes)), replace=False):
        change = _changed(adapter, picture, boxes[token])
        rows, cols = np.divmod(np.flatnonzero(change > 1e-4 * change.max()), grid.cols)
        row, col = divmod(token, grid.cols)
        assert change[token] > 0.3 * change.max()
        # Resampling and rounding to whole pixels reach into the cells next to it, no further.
        assert np.abs(rows - row).max() <= 1
        assert np.abs(cols - col).max() <= 1


@every_family
def test_an_unresized_picture_changes_one_token_alone(name: str) -> None:
    adapter = _without_attention(name)
    token = 2 * adapter.processor.image_processor.patch_size
    picture = np.random.default_rng(0).integers(0, 256, (5 * token, 7 * token, 3), dtype=np.uint8)
    boxes = _boxes(adapter, 7 * token, 5 * token)
    assert len(boxes) == 35
    for number, box in enumerate(boxes):
        assert _changed(adapter, picture, box).nonzero().flatten().tolist() == [number]


def test_windows_leave_the_tower_in_prompt_order() -> None:
    """Attention inside windows of 2 x 2 tokens: a painted cell changes its window and no more."""
    network = FAMILIES["qwen2_5_vl"].model()
    network.model.visual.fullatt_block_indexes = []
    adapter = ADAPTERS["qwen2_5_vl"](network, FAMILIES["qwen2_5_vl"].processor())
    picture = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    for number, box in enumerate(_boxes(adapter, 56, 40)):  # 5 x 7 tokens: windows are cut off
        row, col = divmod(number, 7)
        window = [
            7 * r + c
            for r in range(5)
            for c in range(7)
            if (r // 2, c // 2) == (row // 2, col // 2)
        ]
        assert _changed(adapter, picture, box).nonzero().flatten().tolist() == window
