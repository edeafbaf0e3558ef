"""Recorded examples on the page: shown at once, and no model is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from iwp.ui.examples import EXAMPLES, Examples
from tests.browser.conftest import Visit, serve
from tests.browser.fake import FakeEngine

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
EMBEDDED = Examples(EXAMPLES)
EVENTS = "**/gradio_api/run/**"


@pytest.fixture(scope="module")
def demo_engine() -> FakeEngine:
    fake = FakeEngine(word_s=0.01)
    fake.vlm.name = "demo"
    return fake


@pytest.fixture(scope="module")
def page(demo_engine: FakeEngine) -> Iterator[str]:
    yield from serve(demo_engine, EXAMPLES)


def recorded(number: int, budget: float = 0.222) -> tuple[str, str]:
    assert EMBEDDED.recordings is not None
    result = EMBEDDED.recordings.entries[number - 1].at(budget)
    assert result is not None
    return result.baseline.answer, result.pruned.answer


def shows(opened: Visit, number: int, budget: float = 0.222) -> None:
    left, right = recorded(number, budget)
    opened.page.wait_for_function(
        """([question, left, right]) => {
            const value = (box) => document.querySelector(box + " textarea").value;
            return value("#question") === question && value("#baseline") === left
                && value("#pruned") === right;
        }""",
        arg=[EMBEDDED.question(number), left, right],
    )
    opened.wait_for_text("#timings", "Recorded, not run just now")


def test_the_first_example_stands_there_when_the_page_opens(
    visit: Open, page: str, demo_engine: FakeEngine, pictures_folder: Path
) -> None:
    opened = visit(page)
    shows(opened, 1)
    opened.page.wait_for_selector(".token-map[data-state=ranked]")
    assert demo_engine.runs == []
    opened.page.screenshot(path=pictures_folder / "recorded.png", full_page=True)


@pytest.mark.slow
def test_a_phone_opens_at_the_top(visit: Open, page: str) -> None:
    opened = visit(page, viewport={"width": 390, "height": 844}, is_mobile=True)
    shows(opened, 1)
    opened.page.wait_for_selector(".token-map[data-state=ranked]")
    opened.page.wait_for_timeout(500)
    assert opened.page.evaluate("scrollY") == 0


@pytest.mark.slow
def test_examples_and_presets_come_from_the_file(
    visit: Open, page: str, demo_engine: FakeEngine, pictures_folder: Path
) -> None:
    opened = visit(page)
    shows(opened, 1)
    runs = len(demo_engine.runs)
    for number in (4, len(EMBEDDED.asked)):  # the last one is a clip
        opened.page.click(f"#examples tr:has-text('{EMBEDDED.question(number)}')")
        shows(opened, number)
    assert opened.view("map.frames.length") > 1
    opened.page.click(".presets button:text-is('11.1 %')")
    opened.wait_for_text("#timings", "11.1 %")
    shows(opened, len(EMBEDDED.asked), 0.111)
    assert len(demo_engine.runs) == runs
    opened.page.screenshot(path=pictures_folder / "recorded-clip.png", full_page=True)


def test_the_sweep_is_recorded_too(visit: Open, page: str, demo_engine: FakeEngine) -> None:
    opened = visit(page)
    shows(opened, 1)
    runs = len(demo_engine.runs)
    opened.page.click("#sweep")
    opened.wait_for_text("#swept .recorded", "not run just now")
    assert opened.page.locator("#swept tbody tr").count() == 6
    assert len(demo_engine.runs) == runs


def test_compare_and_other_budgets_ask_the_model(
    visit: Open, page: str, demo_engine: FakeEngine
) -> None:
    opened = visit(page)
    shows(opened, 1)
    opened.page.focus(".range")
    opened.page.keyboard.press("ArrowRight")
    opened.wait_for_text("#status", "Done")
    assert "tokens looked at" in opened.answer("pruned")
    assert demo_engine.runs[-1] == ("compare", 0.223)
    opened.page.click("#compare")
    opened.page.wait_for_function("!document.querySelector('#timings').innerText")
    opened.wait_for_text("#status", "Done")
    assert "Recorded" not in opened.page.inner_text("#timings")


def test_a_link_opens_its_own_example(visit: Open, page: str) -> None:
    shows(visit(f"{page}?example=2&b=11.1"), 2, 0.111)


def test_a_link_with_a_question_alone_waits_for_a_file(visit: Open, page: str) -> None:
    opened = visit(f"{page}?q=Why%3F&b=50")
    opened.page.wait_for_function(
        "document.querySelector('.percent').innerText === '50.0 %'"
        " && document.querySelector('#question textarea').value === 'Why?'"
    )
    assert opened.page.locator("#picture img").count() == 0
    opened.page.click("#compare")
    opened.wait_for_text(".toast-body", "picture")
    assert opened.answer("baseline") == ""


def test_a_wrong_link_is_told_beside_the_first_example(visit: Open, page: str) -> None:
    opened = visit(f"{page}?example=99")
    shows(opened, 1)
    assert "cannot use: example" in opened.page.inner_text("#status")


def test_nothing_undoes_what_a_quick_visitor_does(visit: Open, page: str) -> None:
    """The page's first events end after the visitor has begun."""
    opened = visit(page)
    held: list[Route] = []
    opened.page.route(EVENTS, lambda route: held.append(route))
    opened.come_again()
    opened.page.wait_for_selector("#picture img")
    assert opened.page.input_value("#question textarea") == EMBEDDED.question(1)
    opened.page.fill("#question textarea", "Mine?")
    opened.page.click("#video-tab-button")
    with opened.page.expect_response(EVENTS) as first:
        while not held:
            opened.page.wait_for_timeout(20)
        opened.page.unroute(EVENTS)  # lets go of what was held
    assert first.value.ok
    opened.page.wait_for_timeout(1000)
    assert opened.page.get_attribute("#video-tab-button", "aria-selected") == "true"
    assert opened.page.input_value("#question textarea") == "Mine?"
