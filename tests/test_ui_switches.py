"""Changing the model on the page, without a page: real tiny models, real threads."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from iwp.catalogue import Catalogue
from iwp.engine import Engine
from iwp.errors import ModelError
from iwp.settings import Settings
from iwp.ui import build_demo, text
from iwp.ui.forked import ForkedEngine
from iwp.ui.handlers import Handlers
from iwp.ui.knobs import NAMES, Knobs
from iwp.ui.switches import Switches
from tests import tiny
from tests.test_ui_forked import as_lent
from tests.ui_events import TAB, begin, follow, release


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Settings:
    deeper = tmp_path_factory.mktemp("models") / "deeper"
    tiny.model(seed=1, layers=8).save_pretrained(deeper)
    tiny.processor().save_pretrained(deeper)
    (deeper / "iwp.json").write_text('{"bandwidth": "median"}')
    return Settings(model=str(tiny_folder), models=(str(deeper),), device="cpu", max_new_tokens=4)


@pytest.fixture
def engine(settings: Settings) -> Engine:
    return Engine.load(settings)


@pytest.fixture
def handlers(engine: Engine, settings: Settings, tmp_path: Path) -> Handlers:
    return Handlers(engine, settings, str(tmp_path / "cache"))


@pytest.fixture
def switches(engine: Engine, handlers: Handlers, settings: Settings) -> Switches:
    return Switches(engine, handlers, Catalogue.of(settings))


def said(outputs: tuple[Any, ...]) -> str:
    return str(outputs[3])


def test_stages_then_everything_of_the_new_model(
    switches: Switches, handlers: Handlers, engine: Engine
) -> None:
    old = weakref.ref(engine.vlm.model)
    *stages, last = switches.switch("deeper", TAB)
    words = [said(outputs) for outputs in stages]
    assert "Freeing the memory of tiny-llava-onevision" in words[0]
    assert "Loading deeper" in words[1]
    assert "Warming up deeper" in words[2]
    assert all("busy" in one for one in words)
    head, about, menu, status, *fields = last
    assert "deeper" in head
    assert text.OTHER_MODEL in about
    assert menu["value"] == "deeper"
    assert "deeper is loaded" in status
    settings = dict(zip(NAMES, fields, strict=True))
    assert len(settings["layer"]["choices"]) == 9  # the recommended one and eight layers
    assert settings["bandwidth"]["value"] == "median" == handlers.usual["bandwidth"]
    assert old() is None  # nothing of the page holds it


def test_what_is_not_on_the_list_is_refused(
    switches: Switches, engine: Engine, settings: Settings
) -> None:
    model = engine.vlm.model
    for forged in (settings.models[0], "../other", None, ["deeper"], "owner/name"):
        with pytest.raises(gr.Error, match="does not offer"):
            list(switches.switch(forged, TAB))
    assert engine.vlm.model is model
    ((*_, status),) = (outputs[:4] for outputs in switches.switch("tiny-llava-onevision", TAB))
    assert "answers already" in status
    assert engine.vlm.model is model


def test_a_failed_load_says_why_and_the_old_model_answers(
    engine: Engine, handlers: Handlers, settings: Settings, tmp_path: Path, picture: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(settings.models[0], broken)
    offered = Catalogue.of(Settings(model=settings.model, models=(str(broken),)))
    (broken / "model.safetensors").write_bytes(b"nothing")
    *_, last = Switches(engine, handlers, offered).switch("broken", TAB)
    assert "The model broken cannot be loaded" in said(last)
    assert "tiny-llava-onevision answers as before." in said(last)
    assert "tiny-llava-onevision" in last[0]
    begin(handlers, picture, "What?", 0.5)
    assert text.DONE in follow(handlers)[-1][4]


@pytest.mark.parametrize("gone", ["weights", "folder"])
def test_the_page_tells_no_paths_of_the_server(
    engine: Engine,
    handlers: Handlers,
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    gone: str,
) -> None:
    folder = tmp_path / "srv" / "deeper"
    shutil.copytree(settings.models[0], folder)
    models = (*settings.models, str(folder))
    offered = Catalogue.of(Settings(model=settings.model, models=models))
    if gone == "weights":
        (folder / "model.safetensors").unlink()
    else:
        shutil.rmtree(folder)
    shown = list(Switches(engine, handlers, offered).switch("deeper 2", TAB))
    assert "The model deeper 2 cannot be loaded" in said(shown[-1])
    assert str(tmp_path) not in str(shown)
    assert str(folder) in caplog.text


def test_the_status_ends_whatever_goes_wrong(
    switches: Switches, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_: Any) -> Any:
        raise RuntimeError("/srv/models")

    monkeypatch.setattr(engine, "switch", lambda *_: engine._start(wrong))
    *_, last = switches.switch("deeper", TAB)
    assert "deeper cannot be loaded" in said(last)
    assert "/srv" not in said(last)
    assert "busy" not in said(last)


def test_an_answer_that_is_going_on_is_finished(
    switches: Switches, handlers: Handlers, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.5)
    ranked = list(handlers.rank(TAB))
    switching = switches.switch("deeper", TAB)
    first = next(switching)
    *_, last = handlers.answer(TAB)
    assert text.DONE in last[3]
    assert ranked
    assert first
    *_, done = switching
    assert "deeper is loaded" in said(done)
    # The page goes on with a sentence, not with the wrong model.
    release(handlers, 0.3, 1)
    with pytest.raises(gr.Error, match="press Compare"):
        list(handlers.repruned(TAB))


def test_a_question_of_before_is_not_put_to_the_new_model(
    switches: Switches, handlers: Handlers, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.5)
    list(switches.switch("deeper", TAB))
    with pytest.raises(gr.Error, match="changed meanwhile"):
        list(handlers.rank(TAB))
    begin(handlers, picture, "What?", 0.5)
    assert text.DONE in follow(handlers)[-1][4]


def test_settings_of_another_model_are_not_taken_for_chosen(
    switches: Switches, handlers: Handlers, picture: str
) -> None:
    tab, other = handlers.visitors.get("tab"), SimpleNamespace(session_hash="other")
    old = handlers.usual
    switches.shown(TAB)
    list(switches.switch("deeper", other))  # type: ignore[arg-type]
    begin(handlers, picture, "What?", 0.5, **old)
    assert tab.asked is not None
    assert tab.asked.sides.knobs == Knobs()
    assert tab.asked.sides.right.bandwidth == "median"  # type: ignore[attr-defined]
    _, _, menu, _, *fields = switches.shown(TAB)
    assert menu["value"] == "deeper"
    assert dict(zip(NAMES, fields, strict=True))["bandwidth"]["value"] == "median"
    # From here on what is in the fields was chosen, and they are left alone.
    assert switches.shown(TAB)[2:] == (gr.skip(),) * (2 + len(NAMES))
    begin(handlers, picture, "What?", 0.5, max_new_tokens=2)
    assert tab.asked.sides.knobs.max_new_tokens == 2


def test_a_page_that_opens_fills_in_no_settings_that_it_shows_already(switches: Switches) -> None:
    head, about, *rest = switches.shown(TAB)
    assert "tiny-llava-onevision" in head
    assert text.OTHER_MODEL in about
    assert rest == [gr.skip()] * (2 + len(NAMES))
    list(switches.switch("deeper", SimpleNamespace(session_hash="other")))  # type: ignore[arg-type]
    _, _, menu, _, *fields = switches.shown(TAB)
    assert menu["value"] == "deeper"
    assert dict(zip(NAMES, fields, strict=True))["bandwidth"]["value"] == "median"


def test_while_nothing_is_loaded_the_page_says_so(
    switches: Switches, handlers: Handlers, engine: Engine, picture: str
) -> None:
    engine._seat.empty()
    with pytest.raises(gr.Error, match="try again in a moment"):
        begin(handlers, picture, "What?", 0.5)
    assert "try again in a moment" in said(switches.shown(TAB))
    *_, last = switches.switch("tiny-llava-onevision", TAB)  # not said to be there already
    assert "is loaded" in said(last)


def elements(demo: gr.Blocks) -> set[str]:
    return {str(block.elem_id) for block in demo.blocks.values() if hasattr(block, "elem_id")}


def test_one_model_shows_no_choice(engine: Engine, settings: Settings) -> None:
    alone = Settings(model=settings.model, device="cpu")
    assert not {"model", "load-model", "model-note"} & elements(build_demo(engine, alone))
    assert {"model", "load-model"} <= elements(build_demo(engine, settings))


def test_no_answer_waits_behind_a_load(engine: Engine, settings: Settings) -> None:
    events = build_demo(engine, settings).fns.values()
    queues = {str(event.name): event.concurrency_id for event in events}
    assert queues["rank"] == queues["answer"] == "gpu"
    assert queues["switch"] == "switch"


def test_a_host_that_lends_its_gpu_says_why_there_is_none(
    engine: Engine, settings: Settings
) -> None:
    forked = ForkedEngine(engine, as_lent)
    shown = elements(build_demo(forked, settings))
    assert "model-note" in shown
    assert "load-model" not in shown
    with pytest.raises(ModelError, match="lends its GPU"):
        forked.switch("demo", "demo")
