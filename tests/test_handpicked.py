"""The tokens that a person picked, as a method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import iwp
from iwp.engine import Engine, choose_method
from iwp.errors import InputError
from iwp.pruners import PRUNERS, HandPicked
from iwp.settings import Settings
from iwp.types import Media
from tests import tiny

MEDIA = Media((tiny.picture(),))


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Engine:
    vlm = replace(iwp.load(str(tiny_folder), device="cpu"), pruner={"layer": 2})
    return Engine(vlm, Settings(max_new_tokens=4))


@pytest.mark.parametrize("convention", ["cut", "average"])
def test_it_keeps_what_it_is_told(engine: Engine, convention: str) -> None:
    hand = HandPicked(layer=2, tokens=(0, 3, 4))
    method = choose_method(engine.vlm, 0.75)
    run = engine.compare(
        MEDIA,
        "What is it?",
        0.75,
        method=hand,
        against=method,
        convention=convention,  # type: ignore[arg-type]
    )
    result = run.result()
    assert result.kept == (0, 3, 4)
    assert result.kept_share == 3 / result.n_visual
    assert result.rival is not None
    assert len(result.rival.kept) > 3
    assert [token for token in range(result.n_visual) if result.ranks[token] < 3] == [0, 3, 4]
    assert "tokens" not in result.method


def test_what_a_method_keeps_can_be_picked_too(engine: Engine) -> None:
    alone = engine.compare(MEDIA, "What is it?", 0.5).result()
    hand = HandPicked(layer=2, tokens=alone.kept)
    again = engine.compare(MEDIA, "What is it?", 0.1, method=hand).result()
    assert again.kept == alone.kept
    assert again.pruned.answer == alone.pruned.answer
    assert again.fidelity.dual_weight_error == pytest.approx(alone.fidelity.dual_weight_error)


def test_another_budget_keeps_the_same(engine: Engine) -> None:
    hand = HandPicked(layer=2, tokens=(1, 2))
    session = engine.rank(MEDIA, "What is it?", method=hand).session
    assert engine.repruned(session, 0.9).result().kept == (1, 2)


@pytest.mark.parametrize("tokens", [(), (-1, 2), (2, 1), (1, 1)])
def test_other_numbers_are_refused(tokens: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"at least one patch|ascending numbers"):
        HandPicked(tokens=tokens)


def test_a_token_that_is_not_there_is_named(engine: Engine) -> None:
    hand = HandPicked(layer=2, tokens=(0, 99_999))
    with pytest.raises(InputError, match="none of number 99999"):
        engine.compare(MEDIA, "What is it?", 0.5, method=hand).result()


def test_it_stands_in_no_table() -> None:
    assert HandPicked.name not in PRUNERS
