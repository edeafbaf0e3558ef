"""What stands under the two answers, in a real browser with the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Visit
from tests.browser.fake import FakeEngine

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Visit]
PHONE = {"width": 390, "height": 844}


def answered(opened: Visit, picture: Path) -> Visit:
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    opened.page.wait_for_selector(".outcome")
    return opened


def style(opened: Visit, selector: str, name: str) -> str:
    found: str = opened.page.locator(selector).first.evaluate(
        "(element, name) => getComputedStyle(element)[name]", name
    )
    return found


def test_both_answers_word_by_word(visit: Open, picture: Path, pictures_folder: Path) -> None:
    opened = answered(visit(), picture)
    n, keep = opened.view("map.n"), opened.view("keep")
    assert opened.page.inner_text(".badge") == "Different answers"
    # the fake engine's answers differ in the number of tokens
    gone, new = (opened.page.locator(f".difference {tag}") for tag in ("del", "ins"))
    assert f"{n:,}" in gone.inner_text()
    assert f"{keep:,}" in new.inner_text()
    assert "tokens looked at" in opened.page.inner_text(".difference")
    # by more than colour
    assert "line-through" in style(opened, ".difference del", "textDecorationLine")
    assert "underline" in style(opened, ".difference ins", "textDecorationLine")
    assert "only on the left: " in gone.evaluate("element => element.textContent")
    opened.page.locator("#timings").screenshot(path=pictures_folder / "outcome.png")


def test_a_budget_of_everything_is_the_same_answer(visit: Open, picture: Path) -> None:
    opened = answered(visit(), picture)
    opened.page.click(".presets button:text-is('100 %')")
    opened.wait_for_text(".badge", "Same answer")
    assert opened.page.locator(".difference").count() == 0
    odds = opened.page.inner_text(".odds")
    assert "62.0 %" in odds
    assert '" <few>"' in odds


def test_the_parts_of_the_time_are_drawn_to_one_scale(visit: Open, picture: Path) -> None:
    opened = answered(visit(), picture)
    stacks = opened.page.locator(".stack")
    wide = max(stacks.nth(i).evaluate(FILLED) for i in range(2))
    assert wide == pytest.approx(1, abs=0.02)
    said = opened.page.inner_text(".parts")
    for part in ("Encoding", "Prefill", "Decoding"):
        assert part in said


FILLED = """stack => [...stack.children].reduce((sum, part) => sum + part.offsetWidth, 0)
    / stack.offsetWidth"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_outcome(
    visit: Open, picture: Path, pictures_folder: Path, scheme: str
) -> None:
    opened = answered(visit(viewport=PHONE, is_mobile=True, color_scheme=scheme), picture)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    opened.page.locator("#timings").screenshot(path=pictures_folder / f"outcome-{scheme}.png")


def test_a_stopped_comparison_has_no_outcome(
    visit: Open, picture: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = answered(visit(), picture)
    monkeypatch.setattr(engine, "words", 4000)
    opened.page.click(".presets button:text-is('50 %')")
    opened.wait_for_text("#status", "Answering with what IWP keeps")
    opened.page.click("#stop")
    opened.wait_for_text("#status", "Stopped")
    assert opened.page.locator(".outcome").count() == 0
