"""A task's generation arguments, and the texts that end an answer."""

from __future__ import annotations

from typing import Any

import pytest

from iwp.evals import generation
from iwp.evals.answerer import Answerer
from tests import tiny
from tests.evals.asking import asked, vlm


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"max_new_tokens": 1024, "do_sample": False}),
        (
            {"max_new_tokens": 16, "temperature": 0, "top_p": 1.0, "num_beams": 1},
            {"max_new_tokens": 16, "do_sample": False, "num_beams": 1},
        ),
        (
            {"temperature": 0.7, "top_p": 0.9, "image_aspect_ratio": "original"},
            {"max_new_tokens": 1024, "do_sample": True, "temperature": 0.7, "top_p": 0.9},
        ),
        (
            {"temperature": 0.7, "do_sample": False, "repetition_penalty": 1.1},
            {"max_new_tokens": 1024, "do_sample": False, "repetition_penalty": 1.1},
        ),
    ],
)
def test_arguments_are_those_of_generate(given: dict[str, Any], expected: dict[str, Any]) -> None:
    made = generation.arguments(given)
    assert {name: value for name, value in made.items() if value is not None} == expected


def test_a_greedy_answer_ignores_what_a_checkpoint_recommends_for_sampling() -> None:
    assert generation.arguments({"top_p": 0.5})["top_p"] is None
    assert "top_k" not in generation.arguments({"temperature": 1.0})


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, ()), ({"until": None}, ()), ({"until": "a"}, ("a",)), ({"until": ["a", ""]}, ("a",))],
)
def test_stops_are_the_texts_of_until(given: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert generation.stops(given) == expected


@pytest.mark.parametrize(
    ("text", "place"),
    [("a.b\n\nc", 1), ("ab\n\nc.", 2), ("abc", None), ("\n\nabc", None), ("\n\na.", 3), ("", None)],
)
def test_an_answer_ends_before_the_first_stop(text: str, place: int | None) -> None:
    assert generation.end(text, ("\n\n", ".")) == place


def test_a_row_stops_at_its_own_stop() -> None:
    rows = [
        asked("llava_onevision", "What?", tiny.picture()),
        asked("llava_onevision", "And there, what is it?", tiny.picture(40, 90, seed=1)),
    ]
    free = Answerer(vlm("llava_onevision")).answer(rows, {"max_new_tokens": 12})
    # The tiny model writes what it likes: stop the first answer in its middle.
    stop = free[0].text[3:5]
    given = {"max_new_tokens": 12, "until": [stop]}
    stopped = Answerer(vlm("llava_onevision")).answer(rows, given)
    for before, after in zip(free, stopped, strict=True):
        assert after.text == before.text[: generation.end(before.text, [stop])].rstrip()
    assert stopped[0].new_tokens < free[0].new_tokens
