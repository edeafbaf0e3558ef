"""The page's settings: what reaches the engine, and what is refused."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from iwp.pruners import IWP, FastV
from iwp.ui import text
from iwp.ui.handlers import Handlers
from iwp.ui.knobs import NAMES, RECOMMENDED, Knobs, read
from tests.browser.fake import FakeEngine
from tests.ui_events import TAB, begin, follow


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine(word_s=0.005)
    engine.vlm.pruner = {"layer": 2, "bandwidth": "median"}
    return engine


def test_the_panel_shows_what_the_model_recommends(handlers: Handlers) -> None:
    assert tuple(handlers.usual) == NAMES
    assert set(NAMES) <= set(text.KNOBS)
    assert handlers.usual["bandwidth"] == "median"
    assert handlers.usual["layer"] == RECOMMENDED
    assert read(list(handlers.usual.values()), handlers.usual) == Knobs()
    assert read((), handlers.usual) == Knobs()


def test_unchanged_settings_change_nothing(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    recommended = IWP(budget=0.25, layer=2, bandwidth="median")
    assert engine.asked == [(recommended, None, None, 0.0)]


def test_the_right_side_gets_what_was_changed(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    changes = {"layer": 3.0, "bandwidth": "sqrt_d", "chunk": 4, "penalty": 1, "temperature": 0.5}
    begin(handlers, picture, "What?", 0.25, "iwp", "iwp", max_new_tokens=9, **changes)
    states = follow(handlers)
    right = IWP(budget=0.25, layer=3, bandwidth="sqrt_d", chunk=4, penalty=1)
    left = IWP(budget=0.25, layer=2, bandwidth="median")
    assert engine.asked == [(right, left, 9, 0.5)]
    assert text.DRAWN.format(0.5) in states[-1][3]


def test_other_methods_get_the_layer_alone(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25, "every", "fastv", layer=4, chunk=8)
    follow(handlers)
    assert engine.asked == [(FastV(budget=0.25, layer=4), None, None, 0.0)]


def test_an_emptied_field_is_the_usual(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    empty = {"max_new_tokens": None, "temperature": "", "chunk": None, "layer": ""}
    begin(handlers, picture, "What?", 0.25, **empty)
    follow(handlers)
    assert engine.asked == [(IWP(budget=0.25, layer=2, bandwidth="median"), None, None, 0.0)]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        *(("layer", -1, "whole number from 0"), ("layer", 1.5, "whole number from 0")),
        *(("layer", "two", "whole number from 0"), ("layer", [1], "whole number from 0")),
        *(("max_new_tokens", 65, "at most 64"), ("max_new_tokens", 0, "at least 1")),
        *(("max_new_tokens", {"a": 1}, "at least 1"), ("temperature", 9, "between 0 and 2")),
        *(("temperature", "hot", "between 0 and 2"), ("temperature", float("inf"), "between")),
        *(("query", "mine", "query is one of"), ("query", 7, "takes text")),
        *(("query", ["text"], "takes text"), ("chunk", 0, "at least 1")),
        *(("chunk", 1.5, "a whole number"), ("chunk", 10**30, "a whole number")),
        *(("penalty", -1, "penalty is at least 0"), ("penalty", float("nan"), "finite number")),
        *(("floor", 2, "between 0 and 1"), ("rope_magnitude", "yes", "true or false")),
    ],
)
def test_a_forged_setting_is_one_sentence(
    handlers: Handlers, engine: FakeEngine, picture: str, name: str, value: Any, sentence: str
) -> None:
    with pytest.raises(gr.Error, match=sentence) as caught:
        begin(handlers, picture, "What?", 0.25, **{name: value})
    assert caught.value.print_exception is False
    assert handlers.visitors.get(TAB.session_hash).asked is None
    assert engine.asked == []


def test_looking_back_needs_a_layer_before(handlers: Handlers, picture: str) -> None:
    with pytest.raises(gr.Error, match="none before layer 0"):
        begin(handlers, picture, "What?", 0.25, "every", "fastv", layer=0)
