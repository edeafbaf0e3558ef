"""The nearest duplicate of a patch in a real browser, with the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Visit
from tests.browser.moves import look, meet
from tests.browser.tokens import TWIN

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Visit]


def box(opened: Visit, selector: str) -> dict[str, Any]:
    found = opened.page.locator(selector).bounding_box()
    assert found is not None
    return dict(found)


def test_the_nearest_duplicate_lights_up_beside_a_patch(
    visit: Open, picture: Path, pictures_folder: Path
) -> None:
    opened = visit()
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    opened.page.click(".choice button:text-is('Base')")
    assert opened.page.is_hidden(".twin")
    opened.page.focus(".overlay")
    opened.page.keyboard.press("ArrowRight")
    cell, twin = box(opened, ".cursor:not(.twin)"), box(opened, ".twin")
    assert twin["x"] == pytest.approx(cell["x"] + TWIN * cell["width"], abs=2)
    assert twin["y"] == pytest.approx(cell["y"], abs=1)
    row, column = opened.view("cell.row") + 1, opened.view("cell.col") + 1 + TWIN
    said = f"Nearest duplicate, kept: Base, row {row}, column {column}"
    assert said in opened.page.inner_text(".live")
    # told by more than colour
    styles = [
        opened.page.locator(selector).evaluate("frame => getComputedStyle(frame).borderStyle")
        for selector in (".cursor:not(.twin)", ".twin")
    ]
    assert styles == ["solid", "dashed"]
    opened.page.locator("#token-map").screenshot(path=pictures_folder / "twin.png")
    opened.page.keyboard.press("Tab")
    opened.page.wait_for_selector(".twin", state="hidden")


def test_a_difference_shows_no_duplicate(visit: Open, picture: Path) -> None:
    opened = meet(visit(), picture)
    look(opened, "difference")
    opened.page.focus(".overlay")
    opened.page.keyboard.press("ArrowRight")
    assert "Nearest duplicate" not in opened.page.inner_text(".live")
    look(opened, "left")
    opened.page.focus(".overlay")
    opened.page.keyboard.press("ArrowRight")
    assert "Nearest duplicate" in opened.page.inner_text(".live")
