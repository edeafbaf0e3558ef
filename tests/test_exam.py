"""The exam's questions, its oracle, and the embedded model that ships."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from iwp import adapters, generate
from iwp.adapters.base import VLM
from iwp.adapters.loading import DEMO_FOLDER
from iwp.budget import keep_count
from iwp.engine import choose_method
from iwp.errors import InputError
from iwp.pruners import IWP
from iwp.scenes import backgrounds, exam
from iwp.scenes.evidence import Oracle, evidence_tokens
from iwp.types import Block, Media, TokenGrid, VisualLayout


@pytest.fixture(scope="module")
def demo() -> VLM:
    return adapters.load("demo", device="cpu")


def test_evidence_is_every_token_that_an_object_covers_enough() -> None:
    block = Block(0, 2, 0, 3, 0, 0, 30, 20)  # cells of 10 x 10 pixels
    grid = TokenGrid("hires", "High", 2, 3, offset=5, blocks=(block,), newline=True)
    layout = VisualLayout(13, 30, 20, (grid,))
    assert evidence_tokens(layout, [[(0, 0, 10, 10)]]) == (5,)
    assert evidence_tokens(layout, [[(5, 5, 10, 10)]]) == (5, 6, 9, 10)
    # A tenth of the next cell is too little.
    assert evidence_tokens(layout, [[(0, 0, 10, 11)]]) == (5,)
    assert evidence_tokens(layout, [[(12, 22, 5, 5), (0, 0, 9, 9)]]) == (5, 11)


def test_evidence_of_a_clip_is_looked_for_frame_by_frame() -> None:
    block = Block(0, 1, 0, 3, 0, 0, 30, 10)
    grids = [TokenGrid(f"f{i}", "", 1, 3, 3 * i, (block,), frame=i) for i in range(3)]
    layout = VisualLayout(10, 30, 10, tuple(grids))
    moving = [[(0, 0, 10, 10), None], [(0, 10, 10, 10), None], [(0, 20, 10, 10), (0, 0, 10, 10)]]
    assert evidence_tokens(layout, moving) == (0, 4, 6, 8)


def test_the_exam_of_clips_repeats_itself_and_asks_each_kind_alike() -> None:
    first, second = (list(exam.clip_items(3, 2)) for _ in range(2))
    assert [i.questions for i in first] == [i.questions for i in second]
    asked = [q.kind for item in first for q in item.questions]
    assert {kind: asked.count(kind) for kind in set(asked)} == dict.fromkeys(exam.CLIP_KINDS, 2)
    media = first[0].media
    assert media.kind == "video"
    assert len(media.frames) == len(media.times) == exam.CLIP_FRAMES
    assert media.times == tuple(sorted(set(media.times)))


def test_the_exam_is_held_out_and_repeats_itself() -> None:
    first, second = (list(exam.items(3, 2)) for _ in range(2))
    assert [i.questions for i in first] == [i.questions for i in second]
    assert all((a.scene.pixels == b.scene.pixels).all() for a, b in zip(first, second, strict=True))
    asked = [q.kind for item in first for q in item.questions]
    assert {asked.count(kind) for kind in asked} == {2}
    assert len(set(asked)) == 10


def test_questions_are_numbered_through_the_exam() -> None:
    items = list(exam.items(3, 2))
    numbers = [item.first + i for item in items for i in range(len(item.questions))]
    assert numbers == list(range(20))
    assert len({item.number for item in items}) == len(items)


def test_a_scene_knows_whether_a_photograph_is_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.full((backgrounds.SIDE, backgrounds.SIDE, 3), 20.0, np.float32)
    monkeypatch.setattr(backgrounds, "_pool", lambda: ([flat], [flat + 200]))
    found = []
    for seed in range(30):
        picture, photograph = backgrounds.background(np.random.default_rng(seed), 8, 8)
        assert (picture.mean() > 120) == photograph
        found.append(photograph)
    assert 5 < sum(found) < 25
    assert {item.scene.photograph for item in exam.items(0, 4)} == {True, False}


def test_the_oracle_keeps_the_evidence_first(demo: VLM) -> None:
    item = next(exam.items(0, 1, ("read",)))
    prepared = demo.adapter.prepare(Media((Image.fromarray(item.scene.pixels),)), "what ?")
    evidence = exam.evidence_of(item, item.questions[0], prepared)
    embeds = demo.adapter.embed(prepared, demo.adapter.encode(prepared))
    oracle = Oracle(0.111, 4, evidence)
    ranks = generate.rank(demo.model, embeds, prepared.visual, oracle).ranks
    assert sorted(ranks[list(evidence)].tolist()) == list(range(len(evidence)))
    assert sorted(ranks.tolist()) == list(range(prepared.layout.n))
    assert len(evidence) < keep_count(prepared.layout.n, 0.05)


def test_a_setting_finds_its_budget_by_layer_average() -> None:
    plain = exam.Setting("a", IWP(budget=0.3, layer=2))
    wanted = exam.Setting("b", IWP(budget=0.3, layer=2), average=0.4)
    assert plain.at(1000, 8) == plain.pruner
    found = wanted.at(1000, 8)
    assert found is not None
    assert found.budget == pytest.approx((0.4 * 8 - 2) / 6, abs=1e-3)
    with pytest.raises(InputError, match="earlier layer"):
        exam.Setting("c", IWP(layer=4), average=0.4).at(1000, 8)
    oracle = exam.Setting("d", Oracle(0.1, 4)).at(100, 8, evidence=(7, 9))
    assert isinstance(oracle, Oracle)
    assert oracle.evidence == (7, 9)


def test_the_auto_classes_load_the_embedded_model() -> None:
    model = AutoModelForImageTextToText.from_pretrained(DEMO_FOLDER)
    processor = AutoProcessor.from_pretrained(DEMO_FOLDER)
    text = model.config.text_config
    assert type(model).__name__ == "LlavaOnevisionForConditionalGeneration"
    assert type(processor).__name__ == "LlavaOnevisionProcessor"
    assert model.dtype == torch.bfloat16
    assert sum(p.numel() for p in model.parameters()) <= 12_000_000
    assert text.num_hidden_layers >= 8
    assert text.num_key_value_heads < text.num_attention_heads
    assert max(f.stat().st_size for f in DEMO_FOLDER.iterdir()) < 9_000_000


def test_the_embedded_model_can_read_and_pruning_blindly_hurts(demo: VLM) -> None:
    torch.set_num_threads(1)
    names = ("iwp", "random")
    pruned = [exam.Setting(name, choose_method(demo, 0.111, name)) for name in names]
    settings = [exam.Setting("full", None), *pruned]
    tally = exam.run(demo, exam.items(5, 8, ("read", "color")), settings)
    full, iwp, random = (tally.accuracy(s.name, ("read",)) for s in settings)
    assert full >= 0.75
    assert iwp >= random + 0.25
    assert tally.accuracy("full", ("color",)) >= 0.85


def test_every_layer_of_the_embedded_model_has_a_kernel_exponent(demo: VLM) -> None:
    found = exam.exponents(demo, exam.items(0, 2), pictures=2)
    assert len(found) == demo.model.config.text_config.num_hidden_layers
    assert np.isfinite(found).all()
