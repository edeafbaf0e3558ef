"""Who is not shown the vision tower, in which sentence, and what is left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from iwp import generate
from iwp.errors import IWPError, ModelError
from iwp.pruners.base import LayerView
from iwp.pruning import prune
from iwp.trunk import Trunk
from iwp.types import Ranking
from tests import tiny
from tests.families import FAMILIES
from tests.looking import Looking, prepared, read
from tests.prompts import WIDE, model, written
from tests.test_tower import agree, families, state_of


def test_embeddings_come_with_a_tower_or_are_refused() -> None:
    network = model("llava_onevision")
    _, inputs = prepared("llava_onevision")
    call = {"inputs_embeds": inputs["embeds"], "max_new_tokens": 1}
    method, tower = Looking(), inputs["tower"]
    with prune(network, method, visual=inputs["visual"], tower=tower):
        network.generate(**call)
    agree(method.towers[0], tower)
    with (
        pytest.raises(IWPError, match="let the model itself read the pictures"),
        prune(network, method, visual=inputs["visual"]),
    ):
        network.generate(**call)
    short = tower.take(torch.arange(5))
    with (
        pytest.raises(IWPError, match="for 5 visual tokens; the prompts have 120"),
        prune(network, method, visual=inputs["visual"], tower=short),
    ):
        network.generate(**call)
    inputs["tower"] = None
    with pytest.raises(IWPError, match="Looking looks at the vision tower"):
        generate.rank(network, **inputs, pruner=method)
    with pytest.raises(IWPError, match="let the model itself read the pictures"):
        generate.prefill(network, **inputs, pruner=method)
    with pytest.raises(IWPError, match="Looking looks at the vision tower"):
        Trunk(network, **inputs, layer=2).prefill(method)


def test_other_methods_are_shown_nothing() -> None:
    network = model("llava_onevision")
    _, inputs = prepared("llava_onevision")

    @dataclass(frozen=True)
    class Blind(Looking):
        needs_tower: ClassVar[bool] = False

        def rank(self, view: LayerView) -> Ranking:
            self.shown.append(view)
            return Ranking(torch.arange(view.n), torch.zeros(view.n))

    method = Blind()
    before = state_of(network.model.vision_tower)
    with prune(network, method):
        assert state_of(network.model.vision_tower) == before
        assert "pack_image_features" not in vars(network.model)
        written(network, tiny.inputs(), max_new_tokens=1)
    generate.prefill(network, **inputs, pruner=method)
    generate.rank(network, **inputs, pruner=method)
    trunk = Trunk(network, **inputs, layer=2)
    trunk.prefill(method)
    method.shown.append(trunk.view(method))
    assert [view.tower for view in method.shown] == [None] * 5


def test_a_model_without_a_known_tower_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = model("llava_onevision")
    monkeypatch.setattr(network.config, "model_type", "another")
    with (
        pytest.raises(ModelError, match="cannot look into the vision tower of models of type"),
        prune(network, Looking()),
    ):
        pytest.fail("prune() let it in")


def test_pictures_and_videos_in_one_call_are_refused() -> None:
    ready = FAMILIES["qwen2_vl"].processor()
    content = [{"type": "image"}, {"type": "video"}, {"type": "text", "text": "What?"}]
    turn = [{"role": "user", "content": content}]
    clip = [tiny.picture(seed=seed) for seed in range(2)]
    inputs = dict(
        ready(
            text=ready.apply_chat_template(turn, add_generation_prompt=True),
            images=[WIDE],
            videos=[clip],
            do_sample_frames=False,
            return_tensors="pt",
        )
    )
    with pytest.raises(IWPError, match="pictures or videos, not both"):
        read("qwen2_vl", inputs, Looking())


@families
def test_the_model_is_as_it_was_also_after_an_error(family: str) -> None:
    network, inputs = model(family), FAMILIES[family].inputs()
    written(network, inputs, max_new_tokens=1)  # transformers itself leaves marks at a first call
    before = state_of(network)

    def stumble() -> None:
        with prune(network, Looking()):
            written(network, inputs, max_new_tokens=1)
            assert state_of(network) != before
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        stumble()
    assert state_of(network) == before
