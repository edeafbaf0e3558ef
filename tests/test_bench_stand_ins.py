"""Random models of real sizes: as many parameters, and nothing but the weights made up."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText

from iwp import adapters
from iwp.adapters import ADAPTERS
from iwp.adapters.placement import Placement
from iwp.bench import stand_ins
from iwp.types import Media
from tests import tiny

CPU = Placement(torch.device("cpu"), torch.float32, "sdpa")


def without_weights(name: str) -> tuple[Any, Any]:
    """The real sizes on no device: a model and its processor."""
    config, processor, _ = stand_ins.STAND_INS[name]()
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16), processor


@pytest.mark.parametrize(
    ("name", "parameters", "published"),
    [
        ("llava-onevision-7b", 8_029_890_080, 8.03e9),
        ("qwen2.5-vl-7b", 8_292_166_656, 8.29e9),
        ("qwen2.5-vl-32b", 33_452_718_336, 33.5e9),
    ],
)
def test_the_sizes_are_the_checkpoints(name: str, parameters: int, published: float) -> None:
    model, _ = without_weights(name)
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    assert parameters == pytest.approx(published, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "tokens"),
    # 27 x 27 of the base crop and 40 x 54 of the canvas with row ends; 17 x 23 squares of 28 pixels
    [("llava-onevision-7b", 729 + 40 * 55), ("qwen2.5-vl-7b", 17 * 23)],
)
def test_a_picture_has_as_many_tokens_as_it_should(name: str, tokens: int) -> None:
    model, processor = without_weights(name)
    adapter = ADAPTERS[model.config.model_type](model, processor)
    prepared = adapter.prepare(Media((tiny.picture(640, 480),)), "What is it?")
    assert prepared.layout.n == len(prepared.visual) == tokens


def test_only_the_weights_are_made_up() -> None:
    made, loaded = stand_ins.build("demo", CPU), adapters.load("demo", device="cpu")
    assert dict(made.pruner) == dict(loaded.pruner)
    shapes = {name: weight.shape for name, weight in loaded.model.named_parameters()}
    assert {name: weight.shape for name, weight in made.model.named_parameters()} == shapes
    assert all(bool(weight.isfinite().all()) for weight in made.model.parameters())
    buffers = dict(loaded.model.named_buffers())
    assert len(buffers) > 0
    for name, buffer in made.model.named_buffers():
        assert torch.equal(buffer, buffers[name]), name
    assert not any(weight.requires_grad for weight in made.model.parameters())
    head, words = (made.model.get_output_embeddings(), made.model.get_input_embeddings())
    assert head.weight is words.weight


def test_weights_are_random_but_the_norms_are_not() -> None:
    made = stand_ins.build("demo", CPU, layers=2)
    weights = dict(made.model.named_parameters())
    projection = next(w for name, w in weights.items() if name.endswith("k_proj.weight"))
    assert float(projection.std()) == pytest.approx(0.02, rel=0.1)
    norm = next(w for name, w in weights.items() if name.endswith("input_layernorm.weight"))
    assert bool((norm == 1).all())
    again = dict(stand_ins.build("demo", CPU, layers=2).model.named_parameters())
    assert all(torch.equal(weight, again[name]) for name, weight in weights.items())


def test_number_type_and_kernel_are_the_asked_ones() -> None:
    made = stand_ins.build("demo", Placement(torch.device("cpu"), torch.bfloat16, "eager"), 2)
    assert {weight.dtype for weight in made.model.parameters()} == {torch.bfloat16}
    assert made.attention == made.model.get_decoder().config._attn_implementation == "eager"


@pytest.mark.parametrize(("layers", "cut"), [(2, 1), (4, 2), (8, 4), (None, 4)])
def test_a_shorter_model_is_cut_earlier(layers: int | None, cut: int) -> None:
    made = stand_ins.build("demo", CPU, layers)
    depth = layers or 8
    assert len(made.adapter.decoder_layers) == depth
    assert made.pruner["layer"] == cut
    assert made.name == "demo, random weights" + (f", {depth} of 8 layers" if depth < 8 else "")


def test_a_shorter_tower_with_windows_still_sees_the_whole_picture() -> None:
    for layers, whole in ((4, [3]), (8, [7]), (16, [7, 15])):
        config, _, _ = stand_ins.STAND_INS["qwen2.5-vl-7b"]()
        stand_ins._shorten(config.vision_config, layers)
        assert list(config.vision_config.fullatt_block_indexes) == whole
        assert config.vision_config.depth == layers
