"""The engine and its device: stop, deadline, one run at a time, timings, memory, threads."""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

import iwp
from iwp import report
from iwp.engine import Engine
from iwp.errors import IWPError
from iwp.events import Done, SideDone, Text
from iwp.measure import cpu_threads, gpus_of, peak_bytes, reset_peak
from iwp.settings import Settings
from iwp.types import Media
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.adapters.base import VLM

QUESTION = "What is it?"
MEDIA = Media((tiny.picture(),))


@pytest.fixture(scope="module")
def vlm(tiny_folder: Path) -> VLM:
    return iwp.load(str(tiny_folder), device="cpu")


@pytest.fixture(scope="module")
def engine(vlm: VLM) -> Engine:
    return Engine(vlm, Settings(max_new_tokens=6))


# --- stop, deadline, one at a time -------------------------------------------------------


def test_stop_ends_a_run_within_one_token(vlm: VLM) -> None:
    run = Engine(vlm).compare(MEDIA, QUESTION, 0.25, max_new_tokens=100_000)
    for event in run:
        if isinstance(event, Text) and len(event.text) > 3:
            break
    run.stop()
    rest = list(run)
    assert run.join(5)
    last = rest[-1]
    assert isinstance(last, SideDone)
    assert last.answer.finish == "stopped"
    assert last.answer.n_tokens >= 3
    assert last.session.baseline is None


def test_a_run_stopped_at_once_says_nothing_more(vlm: VLM) -> None:
    run = Engine(vlm).compare(MEDIA, QUESTION, 0.25, max_new_tokens=100_000)
    run.stop()
    assert run.join(5)
    assert not any(isinstance(event, Done) for event in run)


def test_the_deadline_ends_answers_and_keeps_them(
    vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, decode_text = [0.0], vlm.adapter.decode_text

    def slow(ids: list[int]) -> str:
        clock[0] = 10.0 * len(ids)
        return decode_text(ids)

    monkeypatch.setattr("iwp.run.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(vlm.adapter, "decode_text", slow)
    engine = Engine(vlm, Settings(max_new_tokens=100_000, deadline_s=45))
    result = engine.compare(MEDIA, QUESTION, 0.25).result()
    assert result.baseline.finish == "deadline"
    assert result.baseline.n_tokens == len(result.baseline.answer) == 5
    json.dumps(report.to_json(result), allow_nan=False)


def test_a_side_that_never_began_is_empty(vlm: VLM) -> None:
    session = Engine(vlm).rank(MEDIA, QUESTION).session
    engine = Engine(vlm, Settings(deadline_s=1e-9))
    result = engine.repruned(session, 0.25).result()
    assert result.baseline.finish == result.pruned.finish == "deadline"
    assert result.baseline.answer == result.pruned.answer == ""
    assert len(result.kept) == iwp.keep_count(result.n_visual, 0.25)
    json.dumps(report.to_json(result), allow_nan=False)
    with pytest.raises(IWPError, match="no answer"):
        engine.compare(MEDIA, QUESTION, 0.25).result()


def test_two_runs_never_share_the_device(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(vlm, Settings(max_new_tokens=2))
    inside, most, gate = [0], [0], threading.Lock()
    encode = vlm.adapter.encode

    def counted(prepared: object) -> torch.Tensor:
        with gate:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        features: torch.Tensor = encode(prepared)  # type: ignore[arg-type]
        with gate:
            inside[0] -= 1
        return features

    monkeypatch.setattr(vlm.adapter, "encode", counted)
    runs = [engine.compare(MEDIA, QUESTION, 0.25) for _ in range(4)]
    results = [run.result() for run in runs]
    assert most[0] == 1
    assert len({result.pruned.answer for result in results}) == 1


def test_a_typed_special_token_stays_text_whatever_others_ask(engine: Engine) -> None:
    runs = [engine.compare(MEDIA, "<image> " * (i % 2) + QUESTION, 0.25) for i in range(12)]
    results = [run.result() for run in runs]
    assert len({result.n_visual for result in results}) == 1


# --- measuring ---------------------------------------------------------------------------


def test_timings_add_up_and_memory_shrinks(engine: Engine) -> None:
    result = engine.compare(MEDIA, QUESTION, 0.1).result()
    for answer in (result.baseline, result.pruned):
        timing = answer.timing
        assert 0 < timing.encode_s < timing.first_token_s <= timing.total_s
        assert timing.selection_s <= timing.prefill_s
        steps = (answer.n_tokens - 1) * timing.per_token_s
        assert timing.first_token_s + steps == pytest.approx(timing.total_s, rel=0.01)
        assert answer.peak_bytes is None
    assert result.baseline.timing.selection_s == 0
    assert result.pruned.timing.selection_s > 0
    assert 0 < result.pruned.kv_bytes < result.baseline.kv_bytes


def test_kv_bytes_are_those_of_the_prompt(engine: Engine, vlm: VLM) -> None:
    text = vlm.model.config.text_config
    prompt = tiny.inputs(QUESTION, MEDIA.frames[0])["input_ids"].shape[1]
    width = text.num_key_value_heads * (text.hidden_size // text.num_attention_heads)
    result = engine.compare(MEDIA, QUESTION, 0.25).result()
    assert result.baseline.kv_bytes == text.num_hidden_layers * 2 * prompt * width * 4


def test_peak_memory_is_that_of_all_the_models_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [torch.device("cuda", 1), torch.device("cuda", 0), torch.device("cpu")]
    parameters = [
        SimpleNamespace(device=at, is_cuda=at.type == "cuda") for at in (*places, *places)
    ]
    model: Any = SimpleNamespace(parameters=lambda: parameters)
    reset: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda at: 10 ** (at.index + 1))
    reset_peak(model)
    assert reset == gpus_of(model) == [places[1], places[0]]
    assert peak_bytes(model) == 110


def test_a_run_has_its_own_number_of_threads(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(_: object) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        raise IWPError("Seen enough.")

    before = torch.get_num_threads()
    monkeypatch.setattr(vlm.adapter, "encode", look)
    for wanted in (0, 2):
        with pytest.raises(IWPError, match="enough"):
            Engine(vlm, Settings(threads=wanted)).compare(MEDIA, QUESTION, 0.5).result()
    assert seen == [1, 2]
    assert torch.get_num_threads() == before


def test_small_models_compute_with_one_thread(vlm: VLM) -> None:
    assert cpu_threads(vlm.model, torch.device("cpu")) == 1
    assert cpu_threads(vlm.model, torch.device("cpu"), wanted=3) == 3
    assert cpu_threads(vlm.model, torch.device("cuda")) == torch.get_num_threads()


def test_warm_up_runs_and_leaves_the_engine_free(engine: Engine) -> None:
    engine.warm_up()
    assert engine.rank(MEDIA, QUESTION).layout.n > 0
