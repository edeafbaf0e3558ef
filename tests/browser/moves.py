"""What a hand does on the page."""

from __future__ import annotations

from pathlib import Path

from tests.browser.conftest import Visit


def drag(visit: Visit, start: float, end: float, steps: int = 25) -> None:
    """Move the slider's thumb with the mouse and keep the button down. Fractions of its length."""
    box = visit.page.locator(".range").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    visit.page.mouse.move(box["x"] + start * box["width"], middle)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + end * box["width"], middle, steps=steps)
    visit.page.wait_for_timeout(100)


def choose(visit: Visit, menu: str, label: str) -> None:
    """Pick an entry of a menu with the mouse."""
    visit.page.click(f"#{menu} input")
    visit.page.click(f"#{menu} [role=option]:has-text('{label}')")


def meet(visit: Visit, picture: Path, left: str = "FastV", right: str = "IWP") -> Visit:
    """Let two methods answer."""
    visit.page.click("#sides button")
    choose(visit, "left", left)
    choose(visit, "right", right)
    visit.compare(picture, "What is it?")
    visit.wait_for_text("#status", "Done")
    return visit


def look(visit: Visit, view: str) -> None:
    """Choose a view of the map, also while the mouse holds the slider."""
    visit.page.dispatch_event(f"[data-choice=side] [data-value={view}]", "click")
    visit.page.wait_for_timeout(50)
