"""Drawn clips, their questions and drills: exact, seeded and held to the real video processor."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from iwp.scenes.batches import LENGTH, START, Batches
from iwp.scenes.clip import SIDE, TRAVEL, Actor, Clip, make_clip
from iwp.scenes.clip_questions import ask_clip, ask_many, drill_clip
from iwp.scenes.crops import ARRIVALS, MOTIONS, POOLED, clip_labels, clip_tokens
from iwp.scenes.network import make_config, make_model, make_processor, make_tokenizer
from iwp.scenes.packed import PackedModel
from iwp.scenes.vocabulary import COLORS, MOVING, SHAPES

tokenizer = make_tokenizer()


def clip(seed: int, frames: int = 8) -> Clip:
    return make_clip(np.random.default_rng(seed), frames)


def test_the_same_seed_draws_the_same_clip() -> None:
    assert (clip(3).frames == clip(3).frames).all()
    assert (clip(3).frames != clip(4).frames).any()


def test_objects_lie_inside_and_apart_in_every_frame() -> None:
    for seed in range(40):
        made = clip(seed)
        for boxes in made.boxes:
            covered = np.zeros((SIDE, SIDE), int)
            for box in boxes:
                if box is not None:
                    top, left, height, width = (int(v) for v in box)
                    assert min(top, left) >= 0
                    assert max(top + height, left + width) <= SIDE
                    covered[top : top + height, left : left + width] += 1
            assert covered.max(initial=0) <= 1


def test_boxes_move_and_appear_as_the_actors_say() -> None:
    seen = Counter[str | None]()
    for seed in range(60):
        made = clip(seed, 16)
        for i, actor in enumerate(made.actors):
            track = [boxes[i] for boxes in made.boxes]
            there = [box for box in track if box is not None]
            assert len(there) == sum((k + 0.5) / 16 >= actor.since for k in range(16))
            down, right = (there[-1][axis] - there[0][axis] for axis in (0, 1))
            way = {(1, 0): "down", (-1, 0): "up", (0, 1): "right", (0, -1): "left"}
            assert actor.way == way.get((int(np.sign(down)), int(np.sign(right))))
            if actor.way:
                assert abs(down) + abs(right) >= 0.9 * TRAVEL
            seen[actor.way] += 1
    assert set(seen) == {None, "up", "down", "left", "right"}


def test_no_two_objects_appear_in_the_same_frame() -> None:
    for seed in range(60):
        made = clip(seed)
        first = [
            next(k for k, boxes in enumerate(made.boxes) if boxes[i] is not None)
            for i in range(len(made.actors))
        ]
        late = [k for k in first if k > 0]
        assert len(late) == len(set(late))


def test_labels_tell_what_is_new_and_what_has_moved() -> None:
    seen = Counter[str]()
    for seed in range(20):
        made = clip(seed)
        labels = clip_labels(made).reshape(8, 2, POOLED, POOLED)
        for k, boxes in enumerate(made.boxes):
            shown = np.zeros((POOLED, POOLED), bool)
            for i, (actor, box) in enumerate(zip(made.actors, boxes, strict=True)):
                if box is None:
                    continue
                new = k == 0 or made.boxes[k - 1][i] is None
                y, x = (int((box[a] + box[a + 2] / 2) * POOLED / SIDE) for a in (0, 1))
                shown[y, x] = True
                wanted = "centre of a new one" if new else "seen before"
                assert ARRIVALS[labels[k, 1, y, x]] == wanted
                motion = labels[k, 0, y, x]
                assert motion == -1 if new else motion in (-1, MOTIONS.index(actor.way or "still"))
                seen[MOTIONS[motion] if motion >= 0 else "not asked"] += 1
            assert (labels[k, 1] == 3).sum() <= shown.sum()
    assert set(seen) == {"not asked", *MOTIONS[1:]}


@pytest.mark.parametrize("kind", MOVING)
def test_answers_follow_from_the_frames(kind: str) -> None:
    """Worked out again from the boxes and from the words of the question alone."""
    asked = Counter[str]()
    for seed in range(60):
        made = clip(seed, 16)
        question = ask_clip(np.random.default_rng(seed), made, kind)
        if question is None:
            continue
        asked[question.answer] += 1
        tracks = [[boxes[i] for boxes in made.boxes] for i in range(len(made.actors))]
        moving = [i for i, track in enumerate(tracks) if len({b[:2] for b in track if b}) > 1]
        words = question.text.split()

        def says(i: int, actors: tuple[Actor, ...] = made.actors, words: list[str] = words) -> str:
            look = actors[i].look
            given = {
                "shape": look.shape,
                "color": look.color,
                "object": f"{look.color} {look.shape}",
            }
            return given[words[1]]

        if kind == "moves":
            assert [says(i) for i in moving] == [question.answer]
        elif kind == "moving":
            assert str(len(moving)) == question.answer
        elif kind == "last":
            begun = [next(k for k, box in enumerate(track) if box) for track in tracks]
            assert says(int(np.argmax(begun))) == question.answer
        else:
            color, shape = (next(w for w in words if w in group) for group in (COLORS, SHAPES))
            (i,) = (i for i, a in enumerate(made.actors) if a.name == f"{color} {shape}")
            first, end = tracks[i][0], tracks[i][-1]
            assert first is not None
            assert end is not None
            axis = 0 if question.answer in ("up", "down") else 1
            assert (end[axis] > first[axis]) == (question.answer in ("down", "right"))
        for number in question.evidence:
            assert 0 <= number < len(made.actors)
    assert sum(asked.values()) > 20
    assert asked.most_common(1)[0][1] < 0.8 * sum(asked.values())


def test_every_word_about_clips_is_known() -> None:
    for seed in range(30):
        made, rng = clip(seed, 4), np.random.default_rng(seed)
        for question in ask_many(rng, made, 10):
            ids = tokenizer(f"{question.text} {question.answer}")["input_ids"]
            assert tokenizer.unk_token_id not in ids
            assert len(ids) + 4 <= LENGTH
        _, words = drill_clip(rng, made)
        assert any(said for _, said in words)
        assert all(tokenizer.convert_tokens_to_ids(w) != tokenizer.unk_token_id for w, _ in words)


def test_packed_clips_have_the_logits_of_the_transformers_class() -> None:
    model = make_model(make_config(tokenizer), seed=1).eval()
    packed, made = PackedModel(model, torch.float32), clip(2, 4)
    question = ask_many(np.random.default_rng(0), made, 1)[0]
    content = [{"type": "video"}, {"type": "text", "text": question.text}]
    processor = make_processor(tokenizer)
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    frames = torch.from_numpy(made.frames).permute(0, 3, 1, 2)
    inputs = processor(text=text, videos=[frames], do_sample_frames=False, return_tensors="pt")
    start = tokenizer(START, add_special_tokens=False)["input_ids"]
    prefix = len(start) + clip_tokens(4)
    with torch.no_grad():
        wanted = model(**inputs).logits[0, prefix:]
        visual = packed.pack_clip(packed.vision(torch.from_numpy(made.frames)), 1)
        embeddings = packed.embeddings()
        rows = torch.cat((embeddings[torch.tensor(start)][None], visual), 1)
        hidden = packed.decode(rows, inputs["input_ids"][None, :, prefix:]).states
    ours = hidden[0, 0] @ embeddings.T
    assert len(wanted) > 5
    assert (ours - wanted).abs().max() < 2e-3


def test_batches_of_clips_depend_on_seed_and_step_alone() -> None:
    first, second = (Batches(tokenizer, 0, 1500).clips(7, drills=0.5) for _ in range(2))
    assert (first.tokens == second.tokens).all()
    assert (first.crops == second.crops).all()
    assert first.answers.any(-1).all()
    assert first.frames is not None
    assert len(first.crops) == first.frames * len(first.kinds)
