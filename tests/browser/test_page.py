"""The page in a real browser, with the fake engine: what a person does and sees."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from iwp.budget import keep_count
from iwp.ui.visitors import Visitor, Visitors
from tests.browser.conftest import Visit
from tests.browser.fake import FakeEngine
from tests.browser.moves import drag

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
QUESTION = "What is written on it?"


@pytest.fixture
def compared(visit: Open, picture: Path) -> Visit:
    """A page with both answers."""
    opened = visit()
    opened.compare(picture, QUESTION)
    opened.wait_for_text("#status", "Done")
    return opened


def test_upload_ask_and_read_both_answers(compared: Visit, pictures_folder: Path) -> None:
    n = compared.view("map.n")
    keep = keep_count(n, 0.222)
    assert compared.answer("baseline").startswith(f"{n:,} tokens looked at: {QUESTION}")
    assert compared.answer("pruned").startswith(f"{keep:,} tokens looked at: {QUESTION}")
    table = compared.page.inner_text("#timings")
    for label in ("Encoding", "Selection", "Prefill", "First token", "Total", "KV cache"):
        assert label in table
    assert f"{keep:,} of {n:,}" in table
    assert f"keeps {keep:,} of {n:,}" in compared.page.inner_text(".summary")
    compared.page.screenshot(path=pictures_folder / "light.png", full_page=True)


def test_dragging_redraws_without_a_request(compared: Visit) -> None:
    before, answered = compared.canvas(), compared.answer("pruned")
    compared.quiet()
    drag(compared, 0.22, 0.7)
    assert compared.canvas() != before
    assert compared.requests == []
    assert compared.answer("pruned") == answered
    assert compared.view("percent") == pytest.approx(70, abs=3)


def test_letting_go_answers_the_pruned_side_again(compared: Visit) -> None:
    baseline = compared.answer("baseline")
    drag(compared, 0.22, 0.6)
    compared.page.mouse.up()
    kept = f"{compared.view('keep'):,} tokens looked at"
    compared.page.wait_for_function(
        "kept => document.querySelector('#pruned textarea').value.startsWith(kept)", arg=kept
    )
    compared.wait_for_text("#status", "Done")
    assert compared.answer("baseline") == baseline


def test_a_row_of_presets_ends_at_the_last_one(compared: Visit, engine: FakeEngine) -> None:
    for preset in ("5 %", "50 %", "11.1 %"):
        compared.page.click(f".presets button:text-is('{preset}')")
        compared.page.wait_for_timeout(300)
    kept = f"{keep_count(compared.view('map.n'), 0.111):,} tokens looked at: {QUESTION}"
    compared.page.wait_for_function(
        "kept => document.querySelector('#pruned textarea').value.startsWith(kept)", arg=kept
    )
    compared.wait_for_text("#status", "Done")
    assert engine.runs[-1] == ("repruned", 0.111)


def test_every_budget_keeps_what_python_keeps(compared: Visit) -> None:
    n = compared.view("map.n")
    kept = compared.page.evaluate(
        """() => Array.from({ length: 1000 }, (_, i) => {
            const { view, setPercent } = document.querySelector('.token-map').tokenMap;
            setPercent((i + 1) / 10);
            return [view.percent / 100, view.keep];
        })"""
    )
    assert [keep for _, keep in kept] == [keep_count(n, budget) for budget, _ in kept]


@pytest.fixture
def slow_engine(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The served engine, with answers that only end when they are stopped."""
    monkeypatch.setattr(engine, "word_s", 0.25)
    monkeypatch.setattr(engine, "words", 4000)
    return engine


def test_stop_ends_both_answers(visit: Open, picture: Path, slow_engine: FakeEngine) -> None:
    opened = visit()
    opened.compare(picture, QUESTION)
    opened.page.wait_for_function("document.querySelector('#baseline textarea').value")
    opened.page.click("#stop")
    opened.wait_for_text("#status", "Stopped")
    opened.wait_for_text("#timings", "stopped by you")
    assert not slow_engine.busy
    assert opened.answer("pruned") == ""


def test_the_same_budget_is_answered_after_a_stop(
    compared: Visit, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(engine.runs)
    compared.page.click(".presets button:text-is('22.2 %')")  # what the page shows already
    compared.page.wait_for_timeout(800)
    assert len(engine.runs) == before
    monkeypatch.setattr(engine, "words", 4000)
    compared.page.click(".presets button:text-is('50 %')")
    compared.wait_for_text("#status", "Answering with what IWP keeps")
    compared.page.click("#stop")
    compared.wait_for_text("#status", "Stopped")
    monkeypatch.setattr(engine, "words", 6)
    compared.page.click(".presets button:text-is('50 %')")
    compared.wait_for_text("#status", "Done")
    assert engine.runs[before:] == [("repruned", 0.5), ("repruned", 0.5)]


def test_budgets_that_were_answered_meanwhile_leave_the_page(
    compared: Visit, engine: FakeEngine
) -> None:
    """Every release makes an event; the last ones find their budget answered."""
    before = len(engine.runs)
    compared.page.click("#compare")
    for budget in ("5 %", "50 %", "11.1 %"):
        compared.page.click(f".presets button:text-is('{budget}')")
    compared.page.wait_for_function(
        "document.querySelector('#status').innerText.includes('Done')"
        " && document.querySelector('#timings').innerText.includes('11.1 %')"
    )
    compared.quiet()
    compared.page.wait_for_timeout(1500)
    assert engine.runs[before] == ("compare", 0.222)
    assert engine.runs[-1] == ("repruned", 0.111)
    assert "Done" in compared.page.inner_text("#status")
    assert compared.answer("baseline").startswith("7,371 tokens looked at")
    assert compared.answer("pruned").startswith("818 tokens looked at")
    assert "11.1 %" in compared.page.inner_text("#timings")


def test_a_forgotten_comparison_says_what_to_do(
    compared: Visit, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Visitors, "get", lambda *_: Visitor())
    before, pruned = len(engine.runs), compared.answer("pruned")
    compared.page.click(".presets button:text-is('5 %')")
    compared.wait_for_text("#status", "Press Compare")
    assert compared.answer("pruned") == pruned
    assert "Total" in compared.page.inner_text("#timings")
    assert len(engine.runs) == before


@pytest.mark.slow
def test_closing_the_tab_stops_the_run(visit: Open, picture: Path, slow_engine: FakeEngine) -> None:
    watcher, opened = visit(), visit()
    opened.compare(picture, QUESTION)
    opened.page.wait_for_function("document.querySelector('#baseline textarea').value")
    assert slow_engine.busy
    opened.page.close()
    for _ in range(400):
        if not slow_engine.busy:
            return
        watcher.page.wait_for_timeout(50)
    pytest.fail("the run went on")


def test_modes_grids_and_tooltip(compared: Visit, pictures_folder: Path) -> None:
    seen = {compared.canvas()}
    for button in ("Heatmap", "Outline", "Off", "Mask", "Base"):
        compared.page.click(f".choice button:text-is('{button}')")
        compared.page.wait_for_timeout(100)
        seen.add(compared.canvas())
        if button in ("Heatmap", "Outline"):
            compared.page.screenshot(path=pictures_folder / f"{button.lower()}.png")
    assert len(seen) == 5  # Mask looks as at the start
    compared.page.hover(".overlay", position={"x": 120, "y": 90})
    tip = compared.page.inner_text(".tip")
    assert re.search(r"(Kept|Dropped), rank [\d,]+ of 7,371", tip)
    assert re.search(r"Kept from [\d.]+ %, score [\d.]+", tip)
    compared.page.locator("#token-map").screenshot(path=pictures_folder / "tooltip.png")


def test_the_keyboard_reaches_everything(compared: Visit) -> None:
    page = compared.page
    page.focus(".overlay")
    page.keyboard.press("ArrowRight")
    first = page.inner_text(".live")
    page.keyboard.press("ArrowDown")
    assert "rank" in first
    assert page.inner_text(".live") != first
    for key, mode in (("2", "heat"), ("3", "outline"), ("0", "off"), ("1", "mask")):
        page.keyboard.press(key)
        assert compared.view("mode") == mode
    grid = compared.view("grid.id")
    page.keyboard.press("l")
    assert compared.view("grid.id") != grid
    page.keyboard.press("]")
    assert compared.view("percent") == pytest.approx(23.2)
    page.focus(".range")
    page.keyboard.press("ArrowRight")
    assert compared.view("percent") == pytest.approx(23.3)
    page.focus("[data-choice=mode] button[aria-checked=true]")
    page.keyboard.press("ArrowRight")
    assert compared.view("mode") == "heat"
    with page.expect_download() as download:
        page.keyboard.press("s")
    with Image.open(download.value.path()) as saved:
        assert saved.size == (480, 320)
    # a release follows the key presses; let it finish
    compared.wait_for_text("#status", "Done")


@pytest.mark.slow
def test_dark_mode(visit: Open, picture: Path, pictures_folder: Path) -> None:
    opened = visit(color_scheme="dark")
    opened.compare(picture, QUESTION)
    opened.wait_for_text("#status", "Done")
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert all(int(part) < 60 for part in re.findall(r"\d+", background)[:3])
    opened.page.screenshot(path=pictures_folder / "dark.png", full_page=True)


def test_a_phone_needs_no_sideways_scroll(
    visit: Open, picture: Path, pictures_folder: Path
) -> None:
    phone = {"width": 390, "height": 844}
    opened = visit(viewport=phone, device_scale_factor=2, has_touch=True, is_mobile=True)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    opened.compare(picture, QUESTION)
    opened.wait_for_text("#status", "Done")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    opened.page.screenshot(path=pictures_folder / "phone.png", full_page=True)


def test_a_broken_picture_is_told_at_once(
    visit: Open, picture: Path, pictures_folder: Path
) -> None:
    opened = visit()
    broken = picture.with_name("broken.png")
    broken.write_bytes(secrets.token_bytes(500))
    for given in (broken, picture, broken):
        opened.upload(given)
        sentence = opened.page.locator("#picture-refusal [role=alert]")
        if given is broken:
            sentence.wait_for()
            assert "not a JPEG" in sentence.inner_text()
            opened.page.locator("#media").screenshot(path=pictures_folder / "broken.png")
        else:
            sentence.wait_for(state="detached")
            opened.page.wait_for_timeout(300)
            assert opened.page.is_hidden("#picture-refusal")
        opened.page.click("#picture button[aria-label='Remove Image']")
        opened.page.wait_for_selector("#picture input[type=file]", state="attached")
    sentence.wait_for(state="detached")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "question", "sentence"),
    [
        (b"no picture at all", QUESTION, "not a JPEG"),
        (None, QUESTION, "Add a picture"),
        ("cut", QUESTION, "damaged or cut off"),
        ("good", "", "Ask a question"),
        ("good", "x" * 100_000, "too long"),
    ],
    ids=["no-picture-file", "nothing", "cut", "no-question", "long-question"],
)
def test_bad_input_is_answered_with_a_sentence(
    visit: Open, picture: Path, content: bytes | str | None, question: str, sentence: str
) -> None:
    opened = visit()
    if content is not None:
        data = picture.read_bytes()
        file = picture.with_name("given.png")
        kinds = {"cut": data[: len(data) // 2], "good": data}
        file.write_bytes(content if isinstance(content, bytes) else kinds[content])
        opened.upload(file)
    opened.page.fill("#question textarea", question)
    opened.page.click("#compare")
    toast = opened.page.wait_for_selector(".toast-body")
    assert toast is not None
    assert sentence in toast.inner_text()
    assert "Traceback" not in opened.page.content()
    # and the page goes on working
    opened.come_again()
    opened.compare(picture, QUESTION)
    opened.wait_for_text("#status", "Done")
