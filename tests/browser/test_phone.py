"""The page under a finger, on a narrow screen, with the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Visit]
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}


def compared(opened: Visit, picture: Path) -> Visit:
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    return opened


def tap(opened: Visit, x: float, y: float) -> None:
    """Tap the picture, at shares of its size."""
    overlay = opened.page.locator(".overlay")
    overlay.scroll_into_view_if_needed()
    box = overlay.bounding_box()
    assert box is not None
    opened.page.touchscreen.tap(box["x"] + x * box["width"], box["y"] + y * box["height"])


def swipe(opened: Visit, x: float, y: float, up: float) -> None:
    """Put a finger on the picture, at shares of its size, and move it `up` pixels."""
    box = opened.page.locator(".overlay").bounding_box()
    assert box is not None
    left, top = box["x"] + x * box["width"], box["y"] + y * box["height"]
    session = opened.page.context.new_cdp_session(opened.page)

    def finger(kind: str, *places: float) -> None:
        points = [{"x": left, "y": place} for place in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    finger("touchStart", top)
    opened.page.wait_for_selector(".tip", state="visible")
    for step in range(1, 11):
        finger("touchMove", top - up * step / 10)
    finger("touchEnd")


TOP = "document.querySelector('.token-map').getBoundingClientRect().top"
RESTING = f"() => Math.abs({TOP}) < 2"


def test_a_comparison_comes_into_view(visit: Open, picture: Path) -> None:
    opened = visit(**PHONE)
    assert opened.page.evaluate(TOP) > 844
    opened.compare(picture, "What is it?")
    opened.page.wait_for_function(RESTING)
    assert opened.page.evaluate("document.activeElement.closest('.token-map')") is None
    opened.wait_for_text("#status", "Done")
    # what shows already stays where it is, also under the next comparison
    opened.page.evaluate("scrollBy({ top: 60, behavior: 'instant' })")
    before = opened.page.evaluate("scrollY")
    shown = opened.view("id")
    opened.page.evaluate("document.querySelector('#compare').click()")
    opened.page.wait_for_function(ANOTHER, arg=shown)
    opened.wait_for_text("#status", "Done")
    assert opened.page.evaluate("scrollY") == before


ANOTHER = """shown => {
    const { view } = document.querySelector(".token-map").tokenMap;
    return view.map.n && view.id !== shown;
}"""


def test_without_motion_it_is_there_at_once(visit: Open, picture: Path) -> None:
    opened = visit(**PHONE, reduced_motion="reduce")
    opened.page.evaluate(
        "window.seen = new Set(); addEventListener('scroll', () => window.seen.add(scrollY))"
    )
    opened.upload(picture)
    opened.page.fill("#question textarea", "What is it?")
    opened.page.evaluate("scrollTo(0, 0); window.seen.clear()")
    opened.page.evaluate("document.querySelector('#compare').click()")
    opened.page.wait_for_function(RESTING)
    assert opened.page.evaluate("[...window.seen].filter((y) => y > 0).length") == 1


def test_a_page_with_two_columns_stays(visit: Open, picture: Path) -> None:
    opened = visit(viewport={"width": 1100, "height": 420})
    opened.upload(picture)
    opened.page.fill("#question textarea", "What is it?")
    opened.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    before = opened.page.evaluate("scrollY")
    assert before > 0
    opened.page.evaluate("document.querySelector('#compare').click()")
    opened.page.wait_for_function("document.querySelector('.token-map').tokenMap.view.map?.n")
    opened.page.wait_for_timeout(600)
    assert opened.page.evaluate("scrollY") >= before


def test_a_tap_tells_about_a_patch_until_the_next_one(
    visit: Open, picture: Path, pictures_folder: Path
) -> None:
    opened = compared(visit(**PHONE), picture)
    tap(opened, 0.5, 0.5)
    opened.page.wait_for_timeout(300)
    assert opened.page.is_visible(".tip")
    first = opened.page.inner_text(".tip")
    assert "rank" in first
    words = opened.page.locator(".tip")
    assert words.evaluate("tip => tip.scrollWidth <= tip.parentNode.clientWidth")
    opened.page.locator("#token-map").screenshot(path=pictures_folder / "tap.png")
    tap(opened, 0.2, 0.8)
    assert opened.page.is_visible(".tip")
    assert opened.page.inner_text(".tip") != first
    opened.page.tap(".budget-name")
    assert opened.page.is_hidden(".tip")


def test_a_finger_that_scrolls_tells_nothing(visit: Open, picture: Path) -> None:
    opened = compared(visit(**PHONE), picture)
    opened.page.locator(".overlay").scroll_into_view_if_needed()
    before = opened.page.evaluate("scrollY")
    swipe(opened, 0.5, 0.95, up=100)
    opened.page.wait_for_function("before => scrollY > before + 40", arg=before)
    assert opened.page.is_hidden(".tip")


def test_a_finger_that_picks_uncovers_the_patches(visit: Open, picture: Path) -> None:
    opened = compared(visit(**PHONE), picture)
    opened.page.tap(".pick")
    before = opened.canvas()
    tap(opened, 0.5, 0.5)
    opened.page.wait_for_function(
        "before => document.querySelector('.overlay').toDataURL() !== before", arg=before
    )
    assert opened.page.is_hidden(".tip")
