"""The layouts of LLaVA, LLaVA-NeXT, InternVL, Idefics3 and SmolVLM against painted pictures.

A picture whose red is x, green is y and blue is 1 goes through the real image processor and a
tower that only averages. The model's own packing then gives each token the mean colour of the
place it was taken from.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import CLIPImageProcessor, LlavaImageProcessor

from iwp.adapters import ADAPTERS, Adapter
from iwp.adapters.base import Prepared
from iwp.types import Media
from tests import tiny
from tests.families import FAMILIES
from tests.painting import inside, places, ramps

NAMES = ("llava", "llava_next", "internvl", "idefics3", "smolvlm")
SIZES = [
    (96, 96), (70, 50), (50, 70), (300, 299), (640, 480), (333, 77), (77, 333), (500, 60),
    (1201, 799), (48, 480), (33, 35),
]  # fmt: skip


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def seeing(name: str) -> Adapter:
    return _seeing(name, FAMILIES[name].processor())


def _seeing(name: str, processor: Any) -> Adapter:
    """An adapter whose model passes the mean colours of the patches on: features are (n, 3)."""
    network = FAMILIES[name].model()
    processor.image_processor.do_rescale = processor.image_processor.do_normalize = False
    inner = network.model
    if hasattr(inner, "connector"):
        inner.vision_model = _MeanColours(network.config.vision_config, first=0)
        inner.connector.modality_projection = _Fold()
    else:
        inner.vision_tower = _MeanColours(network.config.vision_config, first=1)
        inner.multi_modal_projector = _Fold()
    if hasattr(inner, "image_newline"):
        inner.image_newline = nn.Parameter(torch.full((3,), torch.nan), requires_grad=False)
    return ADAPTERS[name](network, processor)


@pytest.fixture(scope="module")
def local(name: str) -> Adapter:
    """An adapter whose tower hardly lets its patches look at each other."""
    network = FAMILIES[name].model()
    for part, weight in network.named_parameters():
        if "vision" in part and ("out_proj" in part or "projection_layer" in part):
            weight.mul_(0.1)
    return ADAPTERS[name](network, FAMILIES[name].processor())


class _MeanColours(nn.Module):
    """A vision tower that only averages: (B, 3, H, W) -> (B, first + patches, 3)."""

    def __init__(self, config: Any, first: int) -> None:
        super().__init__()
        side = config.patch_size
        self.patch = side if isinstance(side, int) else side[0]
        self.first = first

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> SimpleNamespace:
        patches = nn.functional.avg_pool2d(pixel_values, self.patch).flatten(2).transpose(1, 2)
        extra = patches.new_zeros(len(patches), self.first, 3)
        rows = torch.cat((extra, patches), dim=1)
        return SimpleNamespace(last_hidden_state=rows, hidden_states=[rows] * 4)


class _Fold(nn.Module):
    """A projector that averages the patches that were put into one token."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.unflatten(-1, (-1, 3)).mean(dim=-2)


def _colours(adapter: Adapter, picture: np.ndarray) -> np.ndarray:
    """(n, 3) mean colour of what each visual token of a picture (H, W, 3) is made from."""
    options = {"crop_to_patches": True} if adapter.model_type == "internvl" else {}
    made = adapter.processor.image_processor(
        [picture.transpose(2, 0, 1)],
        return_tensors="pt",
        input_data_format="channels_first",
        **options,
    )
    known = ("pixel_values", "image_sizes", "pixel_attention_mask")
    vision = {key: made[key] for key in known if key in made}
    height, width, _ = picture.shape
    nothing = torch.zeros(0, dtype=torch.long)
    prepared = Prepared(nothing[None], nothing, adapter.layout(width, height), vision)
    return adapter.encode(prepared).numpy()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_each_token_lies_where_the_processor_took_it_from(
    seeing: Adapter, width: int, height: int
) -> None:
    _check(seeing, width, height)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize(
    "pictures",
    [
        LlavaImageProcessor(
            do_pad=True, size={"shortest_edge": 48}, do_center_crop=False, image_mean=[0.0] * 3
        ),
        CLIPImageProcessor(size={"height": 48, "width": 48}, do_center_crop=False),
        CLIPImageProcessor(size={"shortest_edge": 41}, crop_size={"height": 48, "width": 48}),
        CLIPImageProcessor(size={"shortest_edge": 61}, crop_size={"height": 48, "width": 48}),
    ],
    ids=["padded", "squashed", "small", "cropped"],
)
def test_llava_follows_its_image_processor(pictures: Any, width: int, height: int) -> None:
    processor = FAMILIES["llava"].processor()
    processor.image_processor = pictures
    _check(_seeing("llava", processor), width, height)


@pytest.mark.parametrize(("width", "height"), [*SIZES, (338, 119), (343, 478)])
@pytest.mark.parametrize("longest", [100, 0], ids=["uneven", "unsplit"])
def test_idefics3_follows_its_image_processor(longest: int, width: int, height: int) -> None:
    processor = FAMILIES["idefics3"].processor()
    processor.image_processor.do_image_splitting = longest > 0
    if longest:  # not a whole number of tiles
        processor.image_processor.size = {"longest_edge": longest}
    _check(_seeing("idefics3", processor), width, height)


def _check(seeing: Adapter, width: int, height: int) -> None:
    layout = seeing.layout(width, height)
    colours = _colours(seeing, ramps(width, height))
    boxes, newline, grid_of = places(layout)

    assert len(colours) == layout.n
    assert (grid_of >= 0).all()
    np.testing.assert_array_equal(np.isnan(colours[:, 0]), newline)
    placed = ~np.isnan(boxes[:, 0])
    coverage = colours[:, 2]
    # what is padded before it is resized bleeds a little
    assert (np.abs(coverage[~placed & ~newline]) < 0.02).all(), "a token got no place"
    assert (coverage[placed] > 0).all()
    assert (boxes[placed] >= 0).all()
    assert (boxes[placed] <= np.array([width, height, width, height]) + 1e-9).all()

    for index in range(len(layout.grids)):
        here = placed & (grid_of == index)
        box = boxes[here]
        centre = colours[here, :2] / coverage[here, None]
        off = np.abs(centre - (box[:, :2] + box[:, 2:]) / 2)
        side = (box[:, 2:] - box[:, :2]).max(axis=0)
        # resampling bends a ramp only within its reach of the picture's border
        reach = np.maximum(side, 4)
        inner = inside(box, width, height, margin=reach)
        assert off[inner].max(initial=0) < 0.02
        assert (off <= 0.3 * reach).all()


@pytest.mark.parametrize(("width", "height"), SIZES[3:9])
def test_painting_a_cell_changes_its_token_most(local: Adapter, width: int, height: int) -> None:
    """Through the real image processor and the real tower."""
    media = Media((tiny.picture(width, height),))
    prepared = local.prepare(media, "What?")
    before = local.encode(prepared)
    boxes, newline, grid_of = places(prepared.layout)
    pixels = np.asarray(media.frames[0])
    for index in range(len(prepared.layout.grids)):
        areas = np.ptp(boxes[:, ::2], axis=1) * np.ptp(boxes[:, 1::2], axis=1)
        here = grid_of == index
        tokens = np.flatnonzero(here & (areas > 0.9 * np.nanmax(areas[here])))
        for token in np.random.default_rng(0).choice(tokens, 3, replace=False):
            x0, y0, x1, y1 = np.rint(boxes[token]).astype(int)
            painted = pixels.copy()
            painted[y0:y1, x0:x1] = 255 - painted[y0:y1, x0:x1] // 4
            changed = Image.fromarray(painted)
            after = local.encode(local.prepare(Media((changed,)), "What?"))
            change = (after - before).norm(dim=1).numpy()
            change[newline | (grid_of != index)] = 0
            assert change.argmax() == token
