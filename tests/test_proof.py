"""Fast decoding is used where it was seen to say what stock decoding says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import iwp
from iwp import one_row, proof, steps, warming
from iwp.answering import _timing
from iwp.engine import Engine
from iwp.media import open_picture
from iwp.pruners import IWP
from iwp.settings import Settings
from tests import tiny
from tests.families import FAMILIES
from tests.prompts import model
from tests.test_fast_decode import inputs_of

CUT = IWP(budget=0.3, layer=2)


@pytest.fixture(scope="module")
def vlm(tiny_folder: Path) -> Any:
    return iwp.load(str(tiny_folder), device="cpu")


@pytest.fixture
def engine(vlm: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Engine:
    """An engine whose device counts as one that waits for the host."""
    monkeypatch.setattr(warming, "_HOST_BOUND", ("cpu",))
    return Engine(vlm, Settings(fast_decode=getattr(request, "param", None)))


def fast(engine: Engine) -> bool:
    """Whether answers are written in fixed caches."""
    return engine.rank(open_picture(tiny.picture()), "What is it?").session.decoding.fast


@pytest.mark.parametrize("pruner", [None, CUT], ids=["every token", "cut"])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_holds_for_every_family(family: str, pruner: IWP | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert proof.holds(model(family), inputs_of(family), pruner)


@pytest.mark.parametrize("error", [0.4, float("nan")])
def test_other_logits_are_told_and_refused(error: float, monkeypatch: pytest.MonkeyPatch) -> None:
    attention = one_row.attention

    def off(*given: Any) -> Tensor:
        return attention(*given) * (1 + error)

    monkeypatch.setattr(one_row, "attention", off)
    with pytest.warns(RuntimeWarning, match="logits are off by"):
        assert not proof.holds(model("llava_onevision"), inputs_of("llava_onevision"), CUT)


def test_a_key_that_is_not_seen_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_NEAR", 1e-3)  # of a tiny model's 150 keys each counts for little
    masks = steps._masks

    def short(*given: Any) -> Any:
        found, openings = masks(*given)
        for mask in found.values():
            mask[:, 3] = -torch.inf
        return found, openings

    monkeypatch.setattr(steps, "_masks", short)
    with pytest.warns(RuntimeWarning, match="logits are off by"):
        assert not proof.holds(model("llava_onevision"), inputs_of("llava_onevision"), None)


def test_steps_that_fail_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Any:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(one_row, "attention", failing)
    with pytest.warns(RuntimeWarning, match="no such kernel"):
        assert not proof.holds(model("llava_onevision"), inputs_of("llava_onevision"), CUT)


def test_a_model_that_is_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "fit", lambda *_: False)
    assert not proof.holds(model("llava_onevision"), inputs_of("llava_onevision"), CUT)


def test_warming_up_finds_out(engine: Engine) -> None:
    assert not fast(engine)
    engine.warm_up()
    assert fast(engine)


@pytest.mark.parametrize("engine", [False, True], indirect=True)
def test_a_setting_decides_without_a_proof(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "holds", lambda *_: pytest.fail("nobody asked"))
    engine.warm_up()
    assert fast(engine) is engine.settings.fast_decode


def test_what_does_not_hold_is_not_used(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.warm_up()
    monkeypatch.setattr(proof, "holds", lambda *_: False)
    engine.warm_up()
    assert not fast(engine)


def test_a_cpu_decodes_stock(vlm: Any) -> None:
    engine = Engine(vlm)
    engine.warm_up()
    assert not fast(engine)


@pytest.mark.parametrize(
    ("seconds", "recorded", "further"),
    [
        ([0.1, 9.0, 0.2, 0.4], True, 0.3),
        ([0.1, 9.0, 0.2, 0.4], False, 3.2),
        ([0.1, 9.0], True, 9.0),
        ([0.1], True, 0.0),
    ],
)
def test_recording_is_no_part_of_a_further_token(
    seconds: list[float], recorded: bool, further: float
) -> None:
    timing = _timing(1.0, 0.2, 2.0, seconds, recorded)
    assert timing.per_token_s == pytest.approx(further)
    assert timing.total_s == pytest.approx(3.0 + sum(seconds))
    assert timing.first_token_s == pytest.approx(3.1)
