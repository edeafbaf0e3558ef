"""The page's events, run without a page: same functions, fake engine, real threads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from iwp.ui import text, upload
from iwp.ui.handlers import Handlers
from iwp.ui.picture_check import PictureCheck
from tests.browser.fake import FakeEngine
from tests.ui_events import TAB, begin, follow, release, wait_for


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(word_s=0.01)


def test_compare_shows_the_picture_then_both_answers(handlers: Handlers, picture: str) -> None:
    shown, *rest = begin(handlers, picture, "What colour?", 0.25)
    assert (shown.n, shown.width, shown.height) == (0, 90, 60)
    assert Path(shown.picture.path).is_file()
    left, right, table, _, kept, sweep = rest
    assert (left["label"], right["label"]) == ("Every visual token", "Kept by IWP")
    assert (left["value"], right["value"], table, kept, sweep) == (*("", "", "", None, ""),)

    states = follow(handlers)
    token_map, baseline, pruned, timings, status, kept = states[-1]
    n = token_map.n
    keep = int(n * 0.25 + 0.5)
    assert baseline.startswith(f"{n:,} tokens looked at: What colour?")
    assert pruned.startswith(f"{keep:,} tokens looked at")
    assert f"{keep:,} of {n:,}" in timings
    assert text.DONE in status
    assert kept is None  # the map says it
    # the answers grow, and the baseline is there before the pruned one starts
    lengths = [len(state[1]) for state in states]
    assert lengths == sorted(lengths)
    assert all(state[1] == baseline for state in states if state[2])


def test_an_uploaded_picture_is_opened_once(
    handlers: Handlers,
    engine: FakeEngine,
    picture: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked = PictureCheck(handlers.visitors, engine, 10**6)
    assert checked.check(picture, TAB) == ""
    broken = tmp_path / "<b>.png"
    broken.write_bytes(b"no picture")
    assert 'role="alert">The file is not a JPEG' in checked.check(str(broken), TAB)
    with pytest.raises(gr.Error, match="not a JPEG"):
        begin(handlers, str(broken), "What?", 0.25)
    monkeypatch.setattr(upload, "open_picture", lambda *_, **__: pytest.fail("opened again"))
    assert checked.check(None, TAB) == ""
    shown, *_ = begin(handlers, picture, "What?", 0.25)
    assert (shown.width, shown.height) == (90, 60)


def test_a_release_answers_the_pruned_side_only(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    before = follow(handlers)[-1]
    release(handlers, 0.5, seq=1)
    baseline, pruned, timings, status, _ = list(handlers.repruned(TAB))[-1]
    assert baseline == before[1]
    assert pruned != before[2]
    assert "2.0" in timings
    assert text.DONE in status
    assert engine.runs == [("compare", 0.25), ("repruned", 0.5)]


def test_only_the_newest_of_many_releases_is_answered(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    for seq, budget in ((1, 0.3), (3, 0.7), (2, 0.4)):  # the second arrives late
        release(handlers, budget, seq)
    for _ in range(3):
        list(handlers.repruned(TAB))
    assert engine.runs[1:] == [("repruned", 0.7)]


@pytest.mark.parametrize("forged", ["a lot", None, [0.5], 7])
def test_a_forged_release_is_passed_over(
    handlers: Handlers, engine: FakeEngine, picture: str, forged: Any
) -> None:
    begin(handlers, picture, "What is it?", 0.2)
    follow(handlers)
    handlers.note(SimpleNamespace(budget=forged, seq=1), TAB)  # type: ignore[arg-type]
    handlers.note(SimpleNamespace(seq=2), TAB)  # type: ignore[arg-type]
    assert not list(handlers.repruned(TAB))


def test_a_newer_release_ends_the_running_answer(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    engine.word_s = 0.02
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    release(handlers, 0.3, 1)
    running = handlers.repruned(TAB)
    next(running)
    release(handlers, 0.6, 2)
    list(running)
    wait_for(lambda: engine.finished[-1] == "stopped")
    assert text.DONE in list(handlers.repruned(TAB))[-1][3]
    assert engine.runs[-1] == ("repruned", 0.6)


def test_a_release_before_the_answers_is_answered_after_them(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    list(handlers.rank(TAB))
    release(handlers, 0.5, 1)
    assert list(handlers.repruned(TAB)) == []  # the comparison is going on
    *_, last = handlers.answer(TAB)
    assert engine.runs == [("compare", 0.25), ("repruned", 0.5)]
    assert last[1].startswith("3,686 tokens")


def test_a_new_question_starts_clean(handlers: Handlers, engine: FakeEngine, picture: str) -> None:
    engine.words = 500
    begin(handlers, picture, "First?", 0.25)
    list(handlers.rank(TAB))
    first = handlers.answer(TAB)
    next(first)
    engine.words = 6
    begin(handlers, picture, "Second?", 0.5)
    list(first)
    states = follow(handlers)
    assert not any("First?" in field for state in states for field in state[1:5])
    assert engine.runs == [("compare", 0.25), ("compare", 0.5)]


def test_a_release_of_a_forgotten_comparison_says_what_to_do(
    handlers: Handlers, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    handlers.visitors.get("tab").clear()
    release(handlers, 0.3, 1)
    (last,) = handlers.repruned(TAB)
    assert text.FORGOTTEN in last[3]
    assert engine.runs == [("compare", 0.25)]
    begin(handlers, picture, "What?", 0.3)
    assert list(handlers.repruned(TAB)) == []  # it waits for the comparison
    assert text.DONE in follow(handlers)[-1][4]


def test_a_warning_reaches_the_page(handlers: Handlers, engine: FakeEngine, picture: str) -> None:
    engine.warning = "Keys lie <far> apart."
    begin(handlers, picture, "What?", 0.25)
    assert "Keys lie &lt;far&gt; apart." in follow(handlers)[-1][3]


@pytest.mark.parametrize(
    ("question", "budget", "sentence"),
    [
        ("", 0.5, text.NO_QUESTION),
        ("   ", 0.5, text.NO_QUESTION),
        ("x" * 100_000, 0.5, "too long"),
        ("What?", 0.0, "Keep between"),
        ("What?", 1.01, "Keep between"),
        ("What?", float("nan"), "Keep between"),
        ("What?", None, "Keep between"),
    ],
)
def test_bad_input_is_one_sentence(
    handlers: Handlers, picture: str, question: str, budget: Any, sentence: str
) -> None:
    def compare() -> None:
        begin(handlers, picture, question, budget)
        follow(handlers)

    with pytest.raises(gr.Error, match=sentence) as caught:
        compare()
    assert caught.value.print_exception is False


def test_no_picture(handlers: Handlers) -> None:
    with pytest.raises(gr.Error, match="Add a picture"):
        begin(handlers, None, "What?", 0.5)


def test_a_file_that_is_no_picture(handlers: Handlers, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    with pytest.raises(gr.Error, match="not a JPEG") as caught:
        begin(handlers, str(broken), "What?", 0.5)
    assert str(tmp_path) not in str(caught.value)


def test_bad_input_leaves_the_earlier_answer(handlers: Handlers, picture: str) -> None:
    begin(handlers, picture, "What?", 0.25)
    follow(handlers)
    with pytest.raises(gr.Error):
        begin(handlers, picture, "", 0.25)
    release(handlers, 0.5, 1)
    assert list(handlers.repruned(TAB))
