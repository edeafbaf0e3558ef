"""Patches picked on the page: what reaches the engine, and what is refused. Without a page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from iwp.errors import InputError
from iwp.pruners import IWP, FastV, HandPicked
from iwp.ui import text
from iwp.ui.hand import picked_tokens
from iwp.ui.handlers import Handlers
from iwp.ui.links import query
from iwp.ui.sweeps import Sweeps
from iwp.ui.token_sides import kept_bits
from tests.browser.fake import FakeEngine
from tests.ui_events import TAB, begin, follow, release


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(word_s=0.005)


def pick(handlers: Handlers, tokens: Any, **forged: Any) -> tuple[Any, ...]:
    """Ask with picked patches."""
    shown = handlers.visitors.get(TAB.session_hash).page.token_map
    assert shown is not None
    event = {"id": shown.id, "kept": kept_bits(shown.n, tokens), **forged}
    return handlers.pick(SimpleNamespace(**event), TAB)  # type: ignore[arg-type]


def compared(handlers: Handlers, picture: str, *given: Any) -> tuple[Any, ...]:
    begin(handlers, picture, "What?", 0.25, *given)
    return follow(handlers)[-1]


def test_a_hand_meets_the_method(handlers: Handlers, engine: FakeEngine, picture: str) -> None:
    first = compared(handlers, picture)
    _, left, right, *_ = pick(handlers, [5, 9, 11])
    assert (left["label"], right["label"]) == ("Kept by IWP", "Kept by your hand")
    token_map, baseline, pruned, _, status, kept = follow(handlers)[-1]
    method, hand = IWP(budget=0.25, layer=2), HandPicked(budget=0.25, layer=2, tokens=(5, 9, 11))
    assert engine.asked[-1] == (hand, method, None, 0.0)
    assert baseline == first[2]  # the method's answer stands on the left now
    assert pruned.startswith("3 tokens looked at")
    assert [(side.name, side.fixed) for side in token_map.sides] == [
        *(("IWP", False), ("your hand", True)),
    ]
    assert kept.kept == [None, kept_bits(token_map.n, (5, 9, 11))]
    assert text.DONE in status


def test_picking_again_meets_the_method_again(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    compared(handlers, picture, "fastv", "iwp")
    pick(handlers, [1])
    follow(handlers)
    pick(handlers, [1, 2])
    follow(handlers)
    hand, method, *_ = engine.asked[-1]
    assert (hand, method) == (
        HandPicked(budget=0.25, layer=2, tokens=(1, 2)),
        IWP(budget=0.25, layer=2),
    )


def test_settings_and_budget_go_along(handlers: Handlers, engine: FakeEngine, picture: str) -> None:
    begin(handlers, picture, "What?", 0.25, "every", "fastv", layer=3, temperature=0.5)
    follow(handlers)
    release(handlers, 0.5, 1)
    list(handlers.repruned(TAB))
    pick(handlers, [0])
    follow(handlers)
    hand = HandPicked(budget=0.5, layer=3, tokens=(0,))
    assert engine.asked[-1] == (hand, FastV(budget=0.25, layer=3), None, 0.5)
    assert engine.runs[-1] == ("compare", 0.5)


def test_a_link_brings_back_the_method(handlers: Handlers, picture: str) -> None:
    compared(handlers, picture, "divprune", "fastv")
    pick(handlers, [0])
    asked = handlers.visitors.get(TAB.session_hash).asked
    assert asked is not None
    assert query(asked, 0.25, None) == "q=What%3F&b=25&right=fastv"


def test_a_hand_is_not_swept(handlers: Handlers, engine: FakeEngine, picture: str) -> None:
    compared(handlers, picture)
    pick(handlers, [0])
    follow(handlers)
    sweeps = Sweeps(engine, handlers.visitors)  # type: ignore[arg-type]
    with pytest.raises(gr.Error, match="no other budgets"):
        sweeps.ask(False, TAB)


def refusal(ask: Any) -> str:
    with pytest.raises(gr.Error) as caught:
        ask()
    assert caught.value.print_exception is False
    return str(caught.value)


def test_picking_needs_ranked_patches(handlers: Handlers, picture: str) -> None:
    event: Any = SimpleNamespace(id="1/ranked", kept="")
    assert text.PICK_LATER in refusal(lambda: handlers.pick(event, TAB))
    begin(handlers, picture, "What?", 0.25)
    assert text.PICK_LATER in refusal(lambda: handlers.pick(event, TAB))


@pytest.mark.parametrize(
    "forged",
    [
        *({"kept": None}, {"kept": 7}, {"kept": ["x"]}, {"kept": "no base64!"}, {"kept": "\xe9"}),
        *({"kept": ""}, {"kept": "AAAA"}, {"id": "0/ranked"}, {"id": None}),
    ],
)
def test_forged_patches_are_one_sentence(
    handlers: Handlers, engine: FakeEngine, picture: str, forged: dict[str, Any]
) -> None:
    before = compared(handlers, picture)
    assert text.NO_PICK in refusal(lambda: pick(handlers, [1], **forged))
    assert text.NO_PICK in refusal(
        lambda: handlers.pick(SimpleNamespace(), TAB)  # type: ignore[arg-type]
    )
    assert handlers.visitors.get("tab").page.answers() == before[1:]  # the answers stay
    assert len(engine.asked) == 1


def test_at_least_one_patch(handlers: Handlers, picture: str) -> None:
    compared(handlers, picture)
    assert "Keep at least one patch." in refusal(lambda: pick(handlers, []))


def test_bits_are_read_as_they_are_written() -> None:
    for n, tokens in ((8, (0, 7)), (9, (8,)), (17, (0, 3, 16))):
        assert picked_tokens(kept_bits(n, tokens), n) == tokens
    with pytest.raises(InputError, match="do not belong"):
        picked_tokens(kept_bits(16, (9,)), 9)  # a bit beyond the last token
