"""Picking patches by hand in a real browser, with the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from iwp.pruners import HandPicked
from tests.browser.conftest import Visit
from tests.browser.fake import FakeEngine
from tests.browser.moves import look

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Visit]


def compared(opened: Visit, picture: Path) -> Visit:
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    return opened


def drag_over(opened: Visit, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Paint from one place of the picture to another, both as shares of its size."""
    box = opened.page.locator(".overlay").bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    opened.page.mouse.move(*places[0])
    opened.page.mouse.down()
    opened.page.mouse.move(*places[1], steps=3)
    opened.page.mouse.up()


def picked(opened: Visit) -> list[int]:
    tokens: list[int] = opened.view(
        "map.states.reduce((all, state, i) => (state ? [...all, i] : all), [])"
    )
    return tokens


def test_painted_patches_meet_the_method(
    visit: Open, picture: Path, engine: FakeEngine, pictures_folder: Path
) -> None:
    opened = compared(visit(), picture)
    by_method = opened.answer("pruned")
    opened.page.click(".choice button:text-is('Base')")
    opened.page.click(".pick")
    assert opened.page.get_attribute(".pick", "aria-pressed") == "true"
    before = picked(opened)
    assert len(before) == opened.view("keep")
    opened.page.click(".hand .none")
    assert picked(opened) == []
    opened.quiet()
    opened.page.click("[data-choice=brush] [data-value=keep]")
    drag_over(opened, (0.1, 0.5), (0.9, 0.5))
    row = picked(opened)
    # one row of the base grid, without holes however fast the stroke was
    assert row == list(range(row[0], row[0] + len(row)))
    assert len(row) in (21, 22, 23)
    assert opened.page.inner_text(".summary").startswith(f"your hand keeps {len(row)} of")
    opened.page.click("[data-choice=brush] [data-value=drop]")
    drag_over(opened, (0.1, 0.5), (0.1, 0.5))
    assert picked(opened) == row[1:]
    assert opened.requests == []
    opened.page.locator("#token-map").screenshot(path=pictures_folder / "hand.png")

    opened.page.click(".hand .ask")
    opened.wait_for_text("#pruned label span", "Kept by your hand")
    opened.wait_for_text("#status", "Done")
    assert opened.page.inner_text("#baseline label span") == "Kept by IWP"
    assert opened.answer("baseline") == by_method
    assert opened.answer("pruned").startswith(f"{len(row) - 1} tokens looked at")
    hand, method, *_ = engine.asked[-1]
    assert isinstance(hand, HandPicked)
    assert list(hand.tokens) == row[1:]
    assert method is not None
    look(opened, "right")
    assert picked(opened) == row[1:]
    assert opened.page.inner_text(".lasting") == ""
    look(opened, "difference")
    opened.page.locator("#token-map").screenshot(path=pictures_folder / "hand-difference.png")
    # the slider moves the method's side and leaves the hand's
    opened.page.click(".presets button:text-is('5 %')")
    opened.wait_for_text("#status", "Done")
    look(opened, "right")
    assert picked(opened) == row[1:]


def test_the_keyboard_picks_too(visit: Open, picture: Path, engine: FakeEngine) -> None:
    opened = compared(visit(), picture)
    page = opened.page
    page.focus(".pick")
    page.keyboard.press("Enter")
    page.focus(".overlay")
    page.keyboard.press("ArrowRight")
    first = page.inner_text(".live")
    assert first.startswith("Kept by your hand")
    before = len(picked(opened))
    page.keyboard.press("Space")
    assert page.inner_text(".live").startswith("Dropped by your hand")
    assert len(picked(opened)) == before - 1
    page.keyboard.press("Space")
    assert page.inner_text(".live") == first
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    reached = []
    while "ask" not in str(reached[-1:]):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.className"))
        assert len(reached) < 8
    kept = picked(opened)
    page.keyboard.press("Enter")
    opened.wait_for_text("#pruned label span", "Kept by your hand")
    opened.wait_for_text("#status", "Done")
    hand = engine.asked[-1][0]
    assert isinstance(hand, HandPicked)
    assert list(hand.tokens) == kept


def test_a_hand_can_start_over_and_end(visit: Open, picture: Path) -> None:
    opened = compared(visit(), picture)
    assert opened.page.is_hidden(".hand")
    before, shown = opened.canvas(), picked(opened)
    opened.page.click(".pick")
    opened.page.click(".hand .none")
    opened.page.click(".hand .restart")
    assert picked(opened) == shown
    opened.page.click(".hand .none")
    opened.page.click(".pick")
    assert opened.page.is_hidden(".hand")
    assert picked(opened) == shown
    opened.page.wait_for_function(
        "before => document.querySelector('.overlay').toDataURL() === before", arg=before
    )


def test_nothing_picked_is_answered_with_a_sentence(visit: Open, picture: Path) -> None:
    opened = compared(visit(), picture)
    opened.page.click(".pick")
    opened.page.click(".hand .none")
    opened.page.click(".hand .ask")
    toast = opened.page.wait_for_selector(".toast-body")
    assert toast is not None
    assert "Keep at least one patch." in toast.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_picks_with_a_finger(
    visit: Open, picture: Path, pictures_folder: Path, scheme: str
) -> None:
    phone = {"width": 390, "height": 844}
    opened = visit(viewport=phone, is_mobile=True, has_touch=True, color_scheme=scheme)
    compared(opened, picture)
    opened.page.click(".pick")
    before = len(picked(opened))
    opened.page.locator(".overlay").scroll_into_view_if_needed()
    opened.page.tap(".overlay")
    opened.page.wait_for_function(COUNT + " !== before", arg=before)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    opened.page.locator("#token-map").screenshot(path=pictures_folder / f"hand-{scheme}.png")


COUNT = """before => document.querySelector('.token-map').tokenMap.view.map.states.reduce(
    (sum, state) => sum + (state ? 1 : 0), 0)"""
