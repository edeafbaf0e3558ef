"""Scenes, their questions, crops and labels: exact, seeded and held to the real processor."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from iwp.scenes.batches import LENGTH, START, Batches
from iwp.scenes.crops import (
    ATTRIBUTES,
    GRID,
    LABELS,
    crops,
    patch_labels,
    visual_tokens,
)
from iwp.scenes.drills import drill
from iwp.scenes.network import make_config, make_model, make_processor, make_tokenizer
from iwp.scenes.packed import PackedModel
from iwp.scenes.questions import ask, ask_many
from iwp.scenes.scene import SIZES, Scene, make_scene
from iwp.scenes.vocabulary import COARSE, COLORS, COLUMNS, FINE, SHAPES

tokenizer = make_tokenizer()


def scene(seed: int, size: tuple[int, int] = (196, 392)) -> Scene:
    return make_scene(np.random.default_rng(seed), size)


def test_the_same_seed_draws_the_same_scene() -> None:
    first, second = scene(3), scene(3)
    assert (first.pixels == second.pixels).all()
    assert first.things == second.things
    assert (first.pixels != scene(4).pixels).any()


def test_objects_lie_inside_and_apart() -> None:
    for seed in range(30):
        s = scene(seed)
        covered = np.zeros(s.size, int)
        for thing in s.things:
            top, left, height, width = (int(v) for v in thing.box)
            assert min(top, left) >= 0
            assert top + height <= s.size[0]
            assert left + width <= s.size[1]
            covered[top : top + height, left : left + width] += 1
        assert covered.max() <= 1


@pytest.mark.parametrize("kind", [*COARSE, *FINE])
def test_answers_follow_from_the_objects(kind: str) -> None:
    """Answers are worked out again here from the words of the question alone."""
    asked = Counter[str]()
    for seed in range(70):
        s = scene(seed, (392, 392))
        question = ask(np.random.default_rng(seed), s, kind)
        if question is None:
            continue
        words = question.text.split()
        color = next((w for w in words if w in COLORS), None)
        shape = next((w for w in words if w in SHAPES), None)
        meant = [t for t in s.things if color in (None, t.color) and shape in (None, t.shape)]
        asked[question.answer] += 1
        if kind == "color":
            assert [t.color for t in meant] == [question.answer]
        elif kind == "shape":
            assert [t.shape for t in meant] == [question.answer]
        elif kind == "exist":
            assert ("yes" if meant else "no") == question.answer
        elif kind == "total":
            assert str(len(s.things)) == question.answer
        elif kind in ("read", "code"):
            assert [t.text for t in meant] == [question.answer]
        elif kind == "where":
            (thing,) = meant
            row, column = question.answer.split()
            assert (row == "top") == (thing.center[0] < 0.5)
            assert (column == "left") == (thing.center[1] < 0.5)
        elif kind == "which":
            text = " ".join(w for w in words if len(w) == 1 and w != "?")
            assert [t.name for t in s.things if t.text == text] == [question.answer]
        for number in question.evidence:
            assert 0 <= number < len(s.things)
    assert sum(asked.values()) > 20
    assert asked.most_common(1)[0][1] < 0.8 * sum(asked.values())  # no answer gives itself away


def test_every_word_of_every_question_is_known() -> None:
    for seed in range(40):
        s = scene(seed)
        for question in ask_many(np.random.default_rng(seed), s, 12):
            ids = tokenizer(f"{question.text} {question.answer}")["input_ids"]
            assert tokenizer.unk_token_id not in ids
            assert len(ids) + 4 <= LENGTH


@pytest.mark.parametrize("size", SIZES)
def test_training_sees_what_the_processor_makes(size: tuple[int, int]) -> None:
    s = scene(11, size)
    processor = make_processor(tokenizer)
    made = processor(text="<image> ?", images=Image.fromarray(s.pixels), return_tensors="pt")
    ours = (torch.from_numpy(crops(s.pixels)).float() / 255 - 0.5) / 0.25
    pixels = made["pixel_values"][0].permute(0, 2, 3, 1)
    assert pixels.shape == ours.shape
    # One step of 255 at most: two correct bicubic filters may round a pixel differently.
    assert (pixels - ours).abs().max() <= 1 / 255 / 0.25 + 1e-6
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    assert int((made["input_ids"] == image_id).sum()) == visual_tokens(size)


@pytest.mark.parametrize("size", [(196, 196), (196, 392), (294, 392), (392, 392)])
def test_packed_training_has_the_logits_of_the_transformers_class(size: tuple[int, int]) -> None:
    model = make_model(make_config(tokenizer), seed=1).eval()
    packed = PackedModel(model, torch.float32)
    s = scene(2, size)
    asked = ask_many(np.random.default_rng(0), s, 2)
    prompts = [
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": q.text}]}]
        for q in asked
    ]
    processor = make_processor(tokenizer)
    start = tokenizer(START, add_special_tokens=False)["input_ids"]
    prefix_length = len(start) + visual_tokens(size)
    wanted, segments = [], torch.zeros(1, 2, LENGTH, dtype=torch.long)
    with torch.no_grad():
        for j, prompt in enumerate(prompts):
            text = processor.apply_chat_template(prompt, add_generation_prompt=True)
            inputs = processor(text=text, images=Image.fromarray(s.pixels), return_tensors="pt")
            logits = model(**inputs).logits[0, prefix_length:]
            segments[0, j, : len(logits)] = inputs["input_ids"][0, prefix_length:]
            wanted.append(logits)
        # The crops of the real processor, so that only the forward pass is compared.
        pixels = inputs["pixel_values"][0].permute(0, 2, 3, 1)
        features = packed.vision((pixels * 0.25 + 0.5) * 255)
        embeddings = packed.embeddings()
        visual = packed.pack(features, size, 1)
        prefix = torch.cat((embeddings[torch.tensor(start)][None], visual), 1)
        hidden = packed.decode(prefix, segments).states
    for j, logits in enumerate(wanted):
        ours = hidden[0, j, : len(logits)] @ embeddings.T
        assert (ours - logits).abs().max() < 2e-3


def test_blind_segments_do_not_look_in_the_first_layers() -> None:
    model = make_model(make_config(tokenizer, layers=8), seed=1).eval()
    packed = PackedModel(model, torch.float32)
    generator = torch.Generator().manual_seed(0)
    prefix = torch.randn(1, 20, 192, generator=generator)
    tokens = torch.randint(6, 60, (1, 2, 5), generator=generator)
    hidden_rows = torch.arange(20) >= 2
    with torch.no_grad():
        seen = packed.decode(prefix, tokens).states
        blind = packed.decode(prefix, tokens, hidden_rows, 8, torch.tensor([True, False])).states
    assert torch.allclose(seen[:, 1], blind[:, 1], atol=1e-5)
    assert not torch.allclose(seen[:, 0], blind[:, 0], atol=1e-2)
    # Another picture behind the same two first rows changes nothing for those who cannot see it.
    other = torch.cat((prefix[:, :2], torch.randn(1, 18, 192, generator=generator)), 1)
    with torch.no_grad():
        same = packed.decode(other, tokens, hidden_rows, 8, torch.tensor([True, True])).states
    assert torch.allclose(same[:, 0], blind[:, 0], atol=1e-4)


def test_labels_name_the_objects_patch_by_patch() -> None:
    s = scene(5, (392, 392))
    labels = patch_labels(s)
    assert labels.shape == (5, LABELS, GRID * GRID)
    assert int((labels[0, 5] == 1).sum()) == len(s.things)  # one centre an object
    thing = s.things[0]
    top, left, height, width = thing.box
    row, col = int((top + height / 2) // 14), int((left + width / 2) // 14)
    crop = 1 + row // GRID * 2 + col // GRID
    patch = row % GRID * GRID + col % GRID
    assert labels[crop, 0, patch] == 1 + SHAPES.index(thing.shape)
    assert labels[crop, 1, patch] == 1 + list(COLORS).index(thing.color)
    y, x = (int(c * GRID) for c in thing.center)  # in the base crop
    place = labels[0, len(ATTRIBUTES) :, y * GRID + x]
    assert np.abs(place / 1000 - thing.center).max() < 0.001
    assert (labels[1:, len(ATTRIBUTES) :] == -1).all()


@pytest.mark.parametrize("kind", ["left", "above", "is"])
def test_comparing_drills_tell_the_truth(kind: str) -> None:
    """Every side and every yes or no is worked out again from the words alone."""
    said = Counter[str]()
    for seed in range(80):
        s, rng = scene(seed, (392, 392)), np.random.default_rng(seed)
        name, pairs = drill(rng, s)
        if name != f"drill-{kind}":
            continue
        axis, places = int(kind == "left"), {t.name: t.center for t in s.things}
        words, first = [word for word, _ in pairs][1:], ""
        while words:
            thing, words = " ".join(words[:2]), words[2:]
            if kind == "is":
                relation, other, truth = words[0], " ".join(words[1:3]), words[3]
                axis, words = int(relation in COLUMNS), words[4:]
                less = places[thing][axis] < places[other][axis]
                assert (truth == "yes") == (less == (relation in ("above", "left")))
                said[truth] += 1
                continue
            if words and words[0].isdigit():
                assert int(words.pop(0)) == int(places[thing][axis] * 10)
            if first:
                less = places[thing][axis] < places[first][axis]
                assert less == (words[0] in ("above", "left"))
                said[words.pop(0)] += 1
            first = first or thing
    assert len(said) == 2


def test_batches_depend_on_seed_and_step_alone() -> None:
    first = Batches(tokenizer, 0, 1500).questions(7)
    again = Batches(tokenizer, 0, 1500)
    again.questions(3)
    second = again.questions(7)
    assert (first.tokens == second.tokens).all()
    assert (first.crops == second.crops).all()
    assert first.answers.any(-1).all()  # every segment has an answer
    other = Batches(tokenizer, 1, 1500).questions(7)
    assert first.tokens.shape != other.tokens.shape or (first.tokens != other.tokens).any()
