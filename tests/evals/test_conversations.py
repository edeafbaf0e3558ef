"""From lmms-eval's messages to the arguments of generate()."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iwp.errors import InputError
from iwp.evals import conversations
from iwp.types import Media
from tests import tiny
from tests.evals.asking import asked, messages, vlm
from tests.evals.conftest import RATE, SHADES
from tests.families import FAMILIES

every_family = pytest.mark.parametrize("name", FAMILIES)


@every_family
def test_a_lone_question_is_the_prompt_of_the_adapter(name: str) -> None:
    picture = tiny.picture(70, 50)
    batch = conversations.batch(vlm(name).processor, [asked(name, "What is it?", picture)], {})
    prepared = vlm(name).adapter.prepare(Media((picture,)), "What is it?")
    assert torch.equal(batch["input_ids"], prepared.input_ids)
    assert torch.equal(batch["pixel_values"], prepared.vision["pixel_values"])


@every_family
def test_rows_of_a_batch_are_padded_on_the_left(name: str) -> None:
    pictures = [tiny.picture(70, 50), tiny.picture(40, 90, seed=1)]
    rows = [asked(name, "What?", pictures[0]), asked(name, "And there, what?", *pictures)]
    batch = conversations.batch(vlm(name).processor, rows, {})
    for row, one in enumerate(rows):
        alone = conversations.batch(vlm(name).processor, [one], {})["input_ids"][0]
        padding = batch["input_ids"].shape[1] - len(alone)
        assert torch.equal(batch["input_ids"][row, padding:], alone)
        mask = batch["attention_mask"][row]
        assert mask[:padding].sum() == 0
        assert mask[padding:].all()


def test_placeholders_in_a_task_s_text_are_no_pictures() -> None:
    plain = asked("llava_onevision", "Look at : what is it?", tiny.picture())
    assert asked("llava_onevision", "Look at <image>: what is it?", tiny.picture()) == plain
    assert asked("llava_onevision", "Look at <video>: what is it?", tiny.picture()) == plain


def test_turns_may_be_plain_text() -> None:
    processor = vlm("llava_onevision").processor
    turns = [{"role": "system", "content": "Be brief."}, *messages("What?")]
    assert "Be brief." in conversations.read(processor, turns, 4).text


def test_pictures_may_be_files_and_of_any_mode(tmp_path: Path) -> None:
    picture = tiny.picture(30, 20)
    picture.save(tmp_path / "picture.png")
    processor = vlm("llava_onevision").processor
    for url in (str(tmp_path / "picture.png"), picture.convert("RGBA")):
        one = conversations.read(processor, messages("What?", url), 4)
        assert one.pictures[0].mode == "RGB"
        assert np.array_equal(np.asarray(one.pictures[0]), np.asarray(picture))


def test_other_media_are_refused() -> None:
    turn = [{"role": "user", "content": [{"type": "audio", "url": "song.wav"}]}]
    with pytest.raises(InputError, match="audio"):
        conversations.read(vlm("llava_onevision").processor, turn, 4)
    with pytest.raises(InputError, match="path of a file"):
        asked("llava_onevision", "What?", url=[tiny.picture()])


@pytest.mark.parametrize(
    ("total", "most", "start", "end", "numbers"),
    [
        (10, 4, None, None, [0, 3, 6, 9]),
        (3, 8, None, None, [0, 1, 2]),
        (10, 1, None, None, [0]),
        (100, 3, 1.0, 3.0, [10, 20, 30]),  # 10 frames a second
        (100, 3, None, 99.0, [0, 49, 99]),
        (100, 3, 50.0, 60.0, [99]),
    ],
)
def test_frames_are_spread_evenly(
    total: int, most: int, start: float | None, end: float | None, numbers: list[int]
) -> None:
    assert conversations.spread(total, most, 10.0, start, end).tolist() == numbers


@pytest.mark.parametrize(
    ("part", "numbers"),
    [
        ({}, [0, 3, 6, 10]),
        ({"start_time": 1.0, "end_time": 1.6}, [5, 6, 7, 8]),
        ({"start_time": 2.0}, [10]),
    ],
)
def test_a_video_shows_the_frames_that_were_chosen(
    video: str, part: dict[str, float], numbers: list[int]
) -> None:
    clip = asked("qwen2_5_vl", "What?", url=video, **part).clips[0]
    assert clip.frames.shape == (len(numbers), 48, 64, 3)
    shown = clip.frames.mean(axis=(1, 2, 3))
    assert np.abs(shown - [SHADES[i] for i in numbers]).max() < 5
    span = numbers[-1] - numbers[0] + 1
    assert clip.metadata.sampled_fps == pytest.approx(len(numbers) / span * RATE)


def test_a_part_of_a_video_may_be_named_as_qwen_s_tools_do(video: str) -> None:
    part = {"url": video, "video_start": 1.0, "video_end": 1.6}
    clip = asked("qwen2_5_vl", "What?", url=part).clips[0]
    assert clip.metadata.frames_indices.tolist() == [5, 6, 7, 8]


def test_sizes_of_pictures_can_be_limited() -> None:
    processor = vlm("qwen2_5_vl").processor

    def patches(picture: Image.Image, least: int | None, most: int | None) -> int:
        limits = conversations.limits(processor, least, most)
        made = conversations.batch(processor, [asked("qwen2_5_vl", "What?", picture)], limits)
        return int(made["image_grid_thw"].prod())

    large, small = tiny.picture(96, 96), tiny.picture(16, 16)
    assert patches(large, None, 32 * 32) * 4**2 <= 32 * 32 < patches(large, None, None) * 4**2
    assert patches(small, 40 * 40, None) * 4**2 >= 40 * 40 > patches(small, None, None) * 4**2
    assert patches(large, None, 32 * 32) == patches(large, 16, 32 * 32)


def test_other_families_have_no_such_sizes() -> None:
    processor = vlm("llava_onevision").processor
    assert conversations.limits(processor, None, None) == {}
    with pytest.raises(InputError, match="leave them out"):
        conversations.limits(processor, None, 1000)
