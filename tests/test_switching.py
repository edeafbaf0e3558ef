"""Another model in the place of the engine's: memory, failures, and the runs of others."""

from __future__ import annotations

import shutil
import threading
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from iwp import seat as seats
from iwp import switching
from iwp.engine import Engine
from iwp.errors import IWPError, ModelError
from iwp.events import Done, Event, SideDone, Stage
from iwp.settings import Settings
from iwp.types import Media
from tests import tiny

PICTURE = Media((tiny.picture(),))
QUESTION = "What is it?"


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another tiny model, of more layers."""
    folder = tmp_path_factory.mktemp("tiny") / "other"
    tiny.model(seed=1, layers=8).save_pretrained(folder)
    tiny.processor().save_pretrained(folder)
    return folder


@pytest.fixture
def engine(tiny_folder: Path) -> Engine:
    return Engine.load(Settings(model=str(tiny_folder), device="cpu", max_new_tokens=4))


def stages(events: Any) -> list[str]:
    return [event.name for event in events if isinstance(event, Stage)]


def answer(engine: Engine) -> str:
    return engine.compare(PICTURE, QUESTION, 0.5).result().baseline.answer


def test_the_old_model_is_gone_before_the_new_one_is_loaded(
    engine: Engine, other_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answer(engine)
    old = weakref.ref(engine.vlm.model)
    alive: list[bool] = []

    def load(*given: Any, **options: Any) -> Any:
        alive.append(old() is not None)
        return iwp_load(*given, **options)

    iwp_load = seats.load
    monkeypatch.setattr(seats, "load", load)
    assert stages(engine.switch(str(other_folder))) == ["freeing", "loading", "warming"]
    assert alive == [False]
    assert engine.vlm.name == "other"
    assert len(engine.vlm.adapter.decoder_layers) == 8
    assert answer(engine) != first


def test_a_refused_model_leaves_the_old_one_where_it_is(engine: Engine, tmp_path: Path) -> None:
    model = engine.vlm.model
    with pytest.raises(ModelError, match="model none cannot be loaded"):
        list(engine.switch(str(tmp_path / "none")))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="model B cannot be loaded"):
        list(engine.switch(str(tmp_path), "B"))
    assert engine.vlm.model is model


def test_a_model_that_cannot_be_loaded_gives_the_old_one_back(
    engine: Engine, other_folder: Path, tmp_path: Path
) -> None:
    before, session = answer(engine), engine.rank(PICTURE, QUESTION).session
    broken = tmp_path / "broken"
    shutil.copytree(other_folder, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    seen: list[Event] = []
    with pytest.raises(ModelError) as refused:
        seen.extend(engine.switch(str(broken)))
    assert str(refused.value).startswith("The model broken cannot be loaded; ")
    assert str(refused.value).endswith(f"{engine.vlm.name} answers as before.")
    assert engine.glimpse_s is not None  # it is warmed up like any other
    assert answer(engine) == before
    with pytest.raises(ModelError, match="Compare"):  # it is another copy of the model
        engine.repruned(session, 0.3)


def test_a_model_that_has_no_room_to_answer_gives_the_old_one_back(
    engine: Engine, other_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, once = engine.vlm.name, iter([True])

    def full(*_: Any) -> Any:
        if next(once, False):
            raise torch.OutOfMemoryError
        return iter(())

    monkeypatch.setattr(engine, "_warmed", full)
    with pytest.raises(ModelError, match=f"out of memory with other.*{name} answers as before"):
        list(engine.switch(str(other_folder)))
    assert engine.vlm.name == name


@pytest.mark.parametrize("error", [ValueError("no chat template"), RuntimeError("a kernel")])
@pytest.mark.parametrize("step", ["load", "warm"])
def test_whatever_goes_wrong_the_old_model_is_back(
    engine: Engine,
    other_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    step: str,
) -> None:
    name, once, iwp_load = engine.vlm.name, iter([True]), seats.load

    def wrong(*given: Any, **options: Any) -> Any:
        if next(once, False):
            raise error
        return iwp_load(*given, **options) if step == "load" else iter(())

    monkeypatch.setattr(*((seats, "load") if step == "load" else (engine, "_warmed")), wrong)
    with pytest.raises(ModelError, match=rf"log says why\. {name} answers as before") as refused:
        list(engine.switch(str(other_folder)))
    assert str(error) not in str(refused.value)
    assert str(error) in caplog.text
    assert engine.vlm.name == name


def test_an_empty_seat_does_not_load_for_ever(
    engine: Engine, other_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: Any, **__: Any) -> Any:
        raise ValueError

    source = engine.source
    monkeypatch.setattr(seats, "load", nothing)
    with pytest.raises(ModelError, match="cannot be loaded again either"):
        list(engine.switch(str(other_folder)))
    with pytest.raises(ModelError, match="choose one under Settings"):
        _ = engine.vlm
    assert engine.source == source


def test_without_any_model_there_is_a_sentence(
    engine: Engine, other_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: Any, **__: Any) -> Any:
        raise ModelError("Nothing can be loaded.")

    monkeypatch.setattr(seats, "load", nothing)
    with pytest.raises(ModelError, match="cannot be loaded again either"):
        list(engine.switch(str(other_folder)))
    with pytest.raises(ModelError, match="choose one under Settings"):
        engine.compare(PICTURE, QUESTION, 0.5)
    monkeypatch.undo()
    list(engine.switch(str(other_folder)))
    assert answer(engine)


def test_a_running_answer_is_finished_first(engine: Engine, other_folder: Path) -> None:
    name = engine.vlm.name
    run = engine.compare(PICTURE, QUESTION, 0.5)
    events = iter(run)
    seen = [next(events)]
    switched = engine.switch(str(other_folder))
    seen.extend(events)
    assert isinstance(seen[-1], Done)
    assert seen[-1].result.model == name
    assert [type(event) for event in seen].count(SideDone) == 2
    list(switched)
    assert engine.vlm.name == "other"


def test_what_waited_for_the_old_model_is_refused(engine: Engine, other_folder: Path) -> None:
    session = engine.rank(PICTURE, QUESTION).session
    serial, contest = engine.vlm.serial, session.contest
    waiting: list[Any] = [  # what these begin when they have the device at last
        partial(engine._compare, serial, PICTURE, QUESTION, contest, session.decoding),
        partial(engine._answers, session, contest),
        partial(engine._sweep, session, (1.0, 0.5)),
    ]
    list(engine.switch(str(other_folder)))
    for work in waiting:
        with pytest.raises(ModelError, match="press Compare"):
            list(engine._start(work))
    for call in (partial(engine.repruned, session, 0.3), partial(engine.sweep, session)):
        with pytest.raises(ModelError, match="press Compare"):
            call()


def test_while_it_is_loaded_others_are_told(
    engine: Engine, other_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, go = threading.Event(), threading.Event()
    iwp_load = seats.load

    def load(*given: Any, **options: Any) -> Any:
        loading.set()
        assert go.wait(60)
        return iwp_load(*given, **options)

    monkeypatch.setattr(seats, "load", load)
    switched = engine.switch(str(other_folder))
    assert loading.wait(60)
    with pytest.raises(ModelError, match="try again in a moment"):
        engine.compare(PICTURE, QUESTION, 0.5)
    switched.stop()  # the tab was closed: a model is loaded all the same
    go.set()
    assert switched.join(60)
    assert engine.vlm.name == "other"


def test_a_call_looks_at_one_model(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, reads = engine.vlm, []
    monkeypatch.setattr(Engine, "vlm", property(lambda _: reads.append(vlm) or vlm))
    for call in (engine.compare, partial(engine.glimpse, budget=0.5), engine.rank):
        reads.clear()
        given: Any = (PICTURE, QUESTION, 0.5) if call == engine.compare else (PICTURE, QUESTION)
        run = call(*given)
        assert run is not None
        if call == engine.compare:
            run.result()
        assert len(reads) == 1


def test_memory_that_runs_out_is_told_without_a_model_too(engine: Engine) -> None:
    def full(_: Any) -> Any:
        engine._seat.empty()
        raise torch.OutOfMemoryError

    with pytest.raises(IWPError, match="cpu ran out of memory"):
        list(engine._start(full))


def test_a_slow_warm_up_is_no_failure(engine: Engine, other_folder: Path) -> None:
    seat = engine._seat
    hasty = Settings(model=seat.source, device="cpu", deadline_s=1e-9)
    seat._settings = hasty
    list(switching.switch(seat, str(other_folder), engine._warmed))
    assert engine.vlm.name == "other"


def test_the_revision_is_the_first_models_own() -> None:
    asked: list[dict[str, Any]] = []

    class Stop(Exception):
        pass

    def load(source: str, **options: Any) -> Any:
        asked.append({"source": source, **options})
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seats, "load", load)
        for source in ("a/b", "c/d"):
            with pytest.raises(Stop):
                seats.loaded(source, Settings(model="a/b", revision="v2", device="cpu"))
    assert asked == [
        {"source": "a/b", "device": "cpu", "revision": "v2"},
        {"source": "c/d", "device": "cpu", "revision": ""},
    ]


def test_a_model_is_checked_at_its_revision(
    engine: Engine, other_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    seat = engine._seat
    seat._settings = Settings(model="a/b", revision="v2", device="cpu")
    monkeypatch.setattr(seats, "check", lambda *given: asked.append(given))
    seat.check("a/b")
    list(switching.switch(seat, str(other_folder), engine._warmed))
    assert asked == [("a/b", "v2"), (str(other_folder), "")]
