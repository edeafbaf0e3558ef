"""How tokens are picked: greedily, or drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import iwp
from iwp.engine import Engine
from iwp.errors import InputError
from iwp.options import check_decoding
from iwp.picking import picker
from iwp.settings import Settings
from iwp.types import Decoding, Media
from tests import tiny

LOGITS = torch.tensor([0.7, 0.2, 0.1]).log()


def draws(temperature: float, count: int = 2000, seed: int = 0) -> list[int]:
    pick = picker(Decoding(1, temperature, seed))
    return [pick(LOGITS) for _ in range(count)]


def test_without_a_temperature_the_likeliest_is_taken() -> None:
    assert set(draws(0.0, 20)) == {0}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_from_the_distribution(temperature: float) -> None:
    found = torch.bincount(torch.tensor(draws(temperature)), minlength=3) / 2000
    wanted = (LOGITS / temperature).softmax(0)
    assert torch.allclose(found, wanted, atol=0.04)


def test_the_coldest_draws_are_greedy_and_finite() -> None:
    assert set(draws(1e-300, 20)) == {0}


def test_a_row_of_draws_comes_again() -> None:
    assert draws(1.0, 50) == draws(1.0, 50)
    assert draws(1.0, 50) != draws(1.0, 50, seed=1)


@pytest.mark.parametrize(
    ("limit", "temperature", "sentence"),
    [
        *((0, 0.0, "at least 1 token"), (2.5, 0.0, "at least 1"), ("9", 0.0, "at least 1")),
        *((65, 0.0, "at most 64 tokens"), (True, 0.0, "at least 1")),
        *((9, -0.1, "between 0 and 2"), (9, 2.1, "between"), (9, float("nan"), "between")),
        *((9, "hot", "between"), (9, None, "between"), (9, [1], "between")),
    ],
)
def test_what_cannot_be_used_is_refused(limit: Any, temperature: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_decoding(limit, temperature, most=64)


def test_both_sides_draw_alike(tiny_folder: Path) -> None:
    vlm = replace(iwp.load(str(tiny_folder), device="cpu"), pruner={"layer": 2})
    engine = Engine(vlm, Settings(max_new_tokens=12))
    media = Media((tiny.picture(),))
    greedy = engine.compare(media, "What is it?", 1.0).result()
    drawn = engine.compare(media, "What is it?", 1.0, temperature=2.0).result()
    assert (greedy.temperature, drawn.temperature) == (0.0, 2.0)
    assert drawn.baseline.answer == drawn.pruned.answer != greedy.baseline.answer
    again = engine.compare(media, "What is it?", 1.0, temperature=2.0).result()
    assert again.pruned.answer == drawn.pruned.answer
    with pytest.raises(InputError, match="between 0 and 2"):
        engine.compare(media, "What is it?", 1.0, temperature=9)
