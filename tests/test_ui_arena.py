"""Two methods on the page: both answers, their patches, and refusals. Runs without a page."""

from __future__ import annotations

import base64
import pickle
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from iwp.pruners import DART, IWP, PRUNERS
from iwp.types import Media
from iwp.ui import sides, text
from iwp.ui.forked import ForkedEngine
from iwp.ui.handlers import Handlers
from iwp.ui.token_sides import KeptData
from tests.browser.fake import FakeEngine, FakeSession, kept_by
from tests.browser.tokens import two_grids
from tests.ui_events import TAB, begin, follow, release, wait_for

LAYOUT = two_grids(90, 60)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(word_s=0.005)


def tokens(kept: KeptData, side: int) -> list[int] | None:
    """The numbers behind the bits of one side."""
    bits = kept.kept[side]
    if bits is None:
        return None
    data = np.frombuffer(base64.b64decode(bits), dtype=np.uint8)
    return [int(i) for i in np.unpackbits(data, bitorder="little")[: LAYOUT.n].nonzero()[0]]


def test_the_menus_offer_every_method_once() -> None:
    entries = sides.methods()
    assert {name for _, name in entries} == set(PRUNERS)
    assert len(entries) == len(PRUNERS)
    assert entries[0][1] == "iwp"
    assert ("FastV (arXiv 2403.06764)", "fastv") in entries


def test_both_answers_are_named_after_their_methods(handlers: Handlers, picture: str) -> None:
    _, left, right, *_ = begin(handlers, picture, "What?", 0.25, "fastv", "divprune")
    assert (left["label"], right["label"]) == ("Kept by FastV", "Kept by DivPrune")
    states = follow(handlers)
    assert {text.KEPT_TOKENS.format(name) in str(states) for name in ("FastV", "DivPrune")} == {
        True
    }
    token_map, baseline, pruned, table, _, kept = states[-1]
    assert [side.name for side in token_map.sides] == ["FastV", "DivPrune"]
    assert baseline == pruned
    assert table.index("Kept by FastV") < table.index("Kept by DivPrune")
    assert "Layer average" in table
    assert kept is None  # both redraw live


def test_a_release_answers_both_sides_again(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25, "fastv", "iwp")
    before = follow(handlers)[-1]
    release(handlers, 0.5, 1)
    first, *_, last = handlers.repruned(TAB)
    assert first[:2] == ("", "")
    assert last[0] != before[1]
    assert last[0] == last[1]
    assert engine.runs == [("compare", 0.25), ("repruned", 0.5)]


def test_what_a_method_keeps_comes_with_its_answer(handlers: Handlers, picture: str) -> None:
    begin(handlers, picture, "What?", 0.25, "dart", "iwp")
    states = follow(handlers)
    session = FakeSession(LAYOUT, "", DART(), None, "cut")
    at_first, at_last = states[0][5], states[-1][5]
    assert at_first is None
    assert at_last.id == states[-1][0].id
    assert tokens(at_last, 0) == list(kept_by(DART(), session, 0.25))
    assert tokens(at_last, 1) is None  # live
    release(handlers, 0.5, 1)
    *_, last = handlers.repruned(TAB)
    assert last[4].budget == 0.5
    assert tokens(last[4], 0) == list(kept_by(DART(), session, 0.5))


def test_a_new_budget_forgets_what_the_other_side_kept(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25, "dart", "vtw")
    assert None not in follow(handlers)[-1][5].kept
    engine.words = 500
    release(handlers, 0.5, 1)
    running = handlers.repruned(TAB)
    next(running)
    handlers.visitors.get("tab").halt()  # before the left side has its answer
    *_, last = running
    assert last[4].budget == 0.5
    assert tokens(last[4], 1) is None
    assert "stopped by you" in last[2]
    wait_for(lambda: not engine.busy)


def test_every_visual_token_is_answered_once(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25, "every", "dart")
    before = follow(handlers)[-1]
    release(handlers, 0.5, 1)
    first, *_, last = handlers.repruned(TAB)
    assert first[0] == last[0] == before[1]
    assert [len(kept.kept) for kept in (before[5], last[4])] == [1, 1]


def test_a_budget_out_of_reach_leaves_the_answers(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.5, "fastv", "iwp", "average")
    before = follow(handlers)[-1]
    release(handlers, 0.1, 1)
    with pytest.raises(gr.Error, match="layer average down to 10"):
        list(handlers.repruned(TAB))
    assert handlers.visitors.get("tab").page.answers() == before[1:]
    release(handlers, 0.6, 2)
    *_, last = handlers.repruned(TAB)
    assert text.DONE in last[3]
    assert engine.runs == [("compare", 0.5), ("repruned", 0.6)]


@pytest.mark.parametrize(
    ("left", "right", "convention", "sentence"),
    [
        ("nobody", "iwp", "cut", "no method 'nobody'"),
        ("every", "every", "cut", "no method 'every'"),
        ("every", ["iwp"], "cut", "no method"),
        ("every", None, "cut", "no method 'None'"),
        ("every", "iwp", "layers", "not as 'layers'"),
        ("every", "iwp", None, "not as None"),
        ({"a": 1}, "iwp", "cut", "no method"),
    ],
)
def test_forged_entries_are_refused(
    handlers: Handlers, picture: str, left: Any, right: Any, convention: Any, sentence: str
) -> None:
    with pytest.raises(gr.Error, match=sentence) as caught:
        begin(handlers, picture, "What?", 0.25, left, right, convention)
    assert caught.value.print_exception is False


def test_methods_reach_another_process(engine: FakeEngine) -> None:
    given: list[Any] = []

    def lend(work: Any) -> Any:
        def call(*sent: Any) -> Any:
            given.append(pickle.loads(pickle.dumps(sent[2:])))
            yield from work(*sent)

        return call

    forked = ForkedEngine(engine, lend)  # type: ignore[arg-type]
    run = forked.compare(
        Media((Image.new("RGB", (90, 60)),)),
        "What?",
        0.5,
        method=IWP(layer=2),
        against=DART(),
        convention="average",
        max_new_tokens=7,
        temperature=0.5,
    )
    result = run.result()
    assert given == [(0.5, IWP(layer=2), DART(), "average", 7, 0.5)]
    assert engine.asked == [(IWP(layer=2), DART(), 7, 0.5)]
    assert result.rival is not None
