"""The exam, its oracle, and the embedded model that ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from iwp import adapters, generate
from iwp.adapters.base import VLM
from iwp.adapters.loading import DEMO_FOLDER
from iwp.budget import keep_count
from iwp.errors import InputError
from iwp.scenes import exam
from iwp.scenes.evidence import Oracle, evidence_tokens
from iwp.types import Block, Media, TokenGrid, VisualLayout


@pytest.fixture(scope="module")
def demo() -> VLM:
    return adapters.load("demo", device="cpu")


def test_evidence_is_every_token_that_an_object_covers_enough() -> None:
    block = Block(0, 2, 0, 3, 0, 0, 30, 20)  # cells of 10 x 10 pixels
    grid = TokenGrid("hires", "High", 2, 3, offset=5, blocks=(block,), newline=True)
    layout = VisualLayout(13, 30, 20, (grid,))
    assert evidence_tokens(layout, [(0, 0, 10, 10)]) == (5,)
    assert evidence_tokens(layout, [(5, 5, 10, 10)]) == (5, 6, 9, 10)
    assert evidence_tokens(layout, [(0, 0, 10, 11)]) == (5,)  # a tenth of the next cell: too little
    assert evidence_tokens(layout, [(12, 22, 5, 5), (0, 0, 9, 9)]) == (5, 11)


def test_the_exam_is_held_out_and_repeats_itself() -> None:
    first, second = (list(exam.items(3, 2)) for _ in range(2))
    assert [i.questions for i in first] == [i.questions for i in second]
    assert all((a.scene.pixels == b.scene.pixels).all() for a, b in zip(first, second, strict=True))
    asked = [q.kind for item in first for q in item.questions]
    assert {asked.count(kind) for kind in asked} == {2}
    assert len(set(asked)) == 10


def test_the_oracle_keeps_the_evidence_first(demo: VLM) -> None:
    item = next(exam.items(0, 1, ("read",)))
    prepared = demo.adapter.prepare(Media((Image.fromarray(item.scene.pixels),)), "what ?")
    boxes = [item.scene.things[i].box for i in item.questions[0].evidence]
    evidence = evidence_tokens(prepared.layout, boxes)
    embeds = demo.adapter.embed(prepared, demo.adapter.encode(prepared))
    oracle = Oracle(0.111, 4, evidence)
    ranks = generate.rank(demo.model, embeds, prepared.visual, oracle).ranks
    assert sorted(ranks[list(evidence)].tolist()) == list(range(len(evidence)))
    assert sorted(ranks.tolist()) == list(range(prepared.layout.n))
    assert len(evidence) < keep_count(prepared.layout.n, 0.05)


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
    columns = exam.settings(demo, ["full", "iwp", "random"], [0.111], [4], {})
    tally = exam.run(demo, exam.items(5, 8, ("read", "color")), columns)
    full, pruned, random = (tally.accuracy(c.name, ("read",)) for c in columns)
    assert full >= 0.75
    assert pruned >= random + 0.25
    assert tally.accuracy("full", ("color",)) >= 0.85


def test_shared_layers_give_the_same_answers(demo: VLM) -> None:
    torch.set_num_threads(1)
    columns = exam.settings(demo, ["full", "iwp", "oracle"], [0.111, 0.05], [2, 4], {})
    alone, shared = (
        exam.run(demo, exam.items(6, 3, ("read", "where")), columns, shared=how)
        for how in (False, True)
    )
    assert alone.rows() == shared.rows()
    assert alone.kept == shared.kept


def test_the_command_prints_a_table_and_writes_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    words = ["--limit", "2", "--kinds", "read,color", "--budgets", "0.222,0.111"]
    words += ["--methods", "full,oracle", "--json", str(out)]
    assert exam.main(words) == 0
    rows = json.loads(out.read_text())
    assert [r["setting"] for r in rows] == ["full", "oracle 22.2% @4", "oracle 11.1% @4"]
    assert all(0 <= r["fine"] <= 1 and r["n"] == 2 for r in rows)
    assert "| full | 2 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["--methods", "nothing"],
        ["--kinds", "smell"],
        ["--budgets", "many"],
        ["--layers", "x"],
        ["--set", "bandwidth=wide", "--methods", "iwp"],
    ],
)
def test_wrong_words_are_told_in_one_sentence(words: list[str]) -> None:
    with pytest.raises(InputError) as told:
        exam.main(words)
    assert "\n" not in str(told.value)


def test_every_layer_of_the_embedded_model_has_a_kernel_exponent(demo: VLM) -> None:
    found = exam.exponents(demo, exam.items(0, 2), pictures=2)
    assert len(found) == demo.model.config.text_config.num_hidden_layers
    assert np.isfinite(found).all()
