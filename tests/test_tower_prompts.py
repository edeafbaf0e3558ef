"""What methods are shown of the vision tower: by stock generate() in prune(), and by the loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from iwp import generate
from iwp.adapters import ADAPTERS
from iwp.media import open_picture
from iwp.pruning import prune
from iwp.support import cache_argument, cache_in
from iwp.tower import watch_of
from iwp.trunk import Trunk
from iwp.types import Media
from tests import tiny
from tests.families import FAMILIES
from tests.looking import Looking, LookingTwice, alone, joined, prepared, read
from tests.prompts import SMALL, TALL, WIDE, batch, model, written
from tests.test_tower import agree, families

# --- both ways in -----------------------------------------------------------------------------


@families
def test_generate_shows_what_the_adapter_shows(family: str) -> None:
    _, inputs = prepared(family)
    (shown,) = read(family, FAMILIES[family].inputs(), Looking())
    agree(shown, inputs["tower"])


@families
def test_the_own_loop_ranks_and_cuts_by_the_tower(family: str) -> None:
    network = model(family)
    _, inputs = prepared(family)
    method = Looking()
    state = generate.prefill(network, **inputs, pruner=method)
    ranking = generate.rank(network, **inputs, pruner=method)
    layer = 3  # as deep as DeepStack reaches
    trunk = Trunk(network, **inputs, layer=layer)
    branch = Looking(layer=layer, shown=method.shown)
    trunk.prefill(branch)
    method.shown.append(trunk.view(branch))
    assert len(method.shown) == 4
    for shown in method.towers:
        agree(shown, inputs["tower"])
    kept = state.trace.cuts[0].kept
    assert torch.equal(kept, (ranking.ranks < len(kept)).nonzero().flatten())
    assert torch.equal(ranking.scores, inputs["tower"].saliency)
    assert state.trace.cuts[0].seconds > inputs["tower"].seconds > 0


# --- batches ------------------------------------------------------------------------------------


@families
def test_rows_of_a_batch_are_shown_what_they_are_shown_alone(family: str) -> None:
    """Padded on the left, one row with two pictures, one without any."""
    prompts = [[WIDE, "What?"], ["Only words."], [TALL, "and", SMALL, "Which is it?"]]
    shown = read(family, batch(FAMILIES[family], *prompts), Looking())
    truth = alone(family, prompts[0], prompts[2])
    assert len(shown) == len(truth) == 2
    for ours, theirs in zip(shown, truth, strict=True):
        agree(ours, theirs)


@families
def test_two_pictures_of_a_prompt_do_not_see_each_other(family: str) -> None:
    """Qwen's tower reads them as one sequence, in segments."""
    if family in ("llava_onevision", "idefics3", "smolvlm"):
        pytest.skip("several pictures are cut up in another way than one")
    (shown,) = read(family, batch(FAMILIES[family], [TALL, WIDE, "?"]), Looking())
    agree(shown, joined(*alone(family, [TALL, "?"], [WIDE, "?"])))


def test_rows_with_pictures_share_the_seconds() -> None:
    plain = ADAPTERS["llava"](model("llava"), FAMILIES["llava"].processor())
    ready = plain.prepare(open_picture(WIDE), "What?")
    n = ready.layout.n
    with watch_of(plain.model).watching() as watch:
        for counts in ([n], [0, n, 0, 0], [0, 0, n, n]):
            plain.encode(ready)
            watch._seconds = 6.0
            found = [tower for tower in watch.take(counts) if tower is not None]
            assert [tower.seconds for tower in found] == [6.0] * len(found)
        plain.encode(ready)
        assert watch._found is not None
        watch._found = torch.cat((watch._found, watch._found))
        watch._seconds = 6.0
        first, words, second = watch.take([n, 0, n])
        assert words is None
        assert first is not None
        assert second is not None
        assert first.seconds == second.seconds == 3.0


@pytest.mark.parametrize("family", ["llava_onevision", "llava_next", "llava", "qwen2_5_vl"])
@pytest.mark.parametrize(
    "options",
    [{"num_beams": 3}, {"num_return_sequences": 2, "do_sample": True}],
    ids=["beams", "sequences"],
)
def test_copies_of_a_prompt_are_shown_its_tower(family: str, options: dict[str, Any]) -> None:
    prompts = [[WIDE, "What?"], [TALL, "Which is it?"]]
    shown = read(family, batch(FAMILIES[family], *prompts), Looking(), **options)
    for ours, theirs in zip(shown, alone(family, *prompts), strict=True):
        agree(ours, theirs)


@pytest.mark.parametrize("clips", [1, 2])
def test_clips_of_llava_onevision(clips: int) -> None:
    family = FAMILIES["llava_onevision"]
    videos = [[tiny.picture(70, 50, seed=9 * clip + i) for i in range(3)] for clip in range(clips)]
    ready = family.processor()
    turn = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What?"}]}]
    text = ready.apply_chat_template(turn, add_generation_prompt=True)
    inputs = dict(
        ready(text=[text] * clips, videos=videos, do_sample_frames=False, return_tensors="pt")
    )
    shown = read("llava_onevision", inputs, Looking())
    assert len(shown) == clips
    for frames, ours in zip(videos, shown, strict=True):
        media = Media(tuple(frames), (0.0, 0.5, 1.0), "video")
        agree(ours, prepared("llava_onevision", media)[1]["tower"])


# --- several cuts, several turns ------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl"])
def test_a_later_cut_is_shown_the_tokens_that_are_left(family: str) -> None:
    method = LookingTwice()
    with prune(model(family), method) as trace:
        written(model(family), FAMILIES[family].inputs(), max_new_tokens=1)
    first, second = method.towers
    agree(second, first.take(trace.cuts[0].kept))
    _, inputs = prepared(family)
    generate.prefill(model(family), **inputs, pruner=method)
    agree(method.towers[3], second)


def test_a_second_turn_is_shown_its_own_picture() -> None:
    network, method = model("llava"), Looking()
    first = batch(FAMILIES["llava"], [WIDE, "What?"])
    second = batch(FAMILIES["llava"], [TALL, "And this?"])
    with prune(network, method):
        out = network(**first, use_cache=True)
        ones = torch.ones(1, first["input_ids"].shape[1] + second["input_ids"].shape[1])
        second |= {"attention_mask": ones.long(), **cache_argument(network, cache_in(out))}
        network(**second)
    for ours, theirs in zip(method.towers, alone("llava", [WIDE, "?"], [TALL, "?"]), strict=True):
        agree(ours, theirs)
