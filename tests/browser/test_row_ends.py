"""Row ends on the token map, with the fake engine: the fine grid has some, the base grid none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Visit
from tests.browser.moves import look, meet
from tests.browser.tokens import SIDE

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Visit]
EXPLAINED = "Dashes at the right edge"


def tip_at_the_edge(opened: Visit, row: int) -> str:
    """What is said under the mark of a row, of all rows of the fine grid."""
    box = opened.page.locator(".overlay").bounding_box()
    assert box is not None
    right = box["width"] * (2 + 0.985) / 3 - 2  # where the fake's last crop ends
    place = {"x": right, "y": box["height"] * (row + 0.5) / (3 * SIDE)}
    opened.page.hover(".overlay", position=place)
    return opened.page.inner_text(".tip")


def test_row_ends_are_explained_where_there_are_some(
    visit: Open, picture: Path, pictures_folder: Path
) -> None:
    opened = visit()
    assert opened.page.inner_text(".ends") == ""
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    assert EXPLAINED in opened.page.inner_text(".ends")
    first_end = SIDE * SIDE + 3 * SIDE
    assert f"Row end, dropped: token {first_end}" in tip_at_the_edge(opened, 0)
    opened.page.click(".presets button:text-is('100 %')")
    assert f"Row end, kept: token {first_end}" in tip_at_the_edge(opened, 0)
    opened.page.locator("#token-map").screenshot(path=pictures_folder / "row-ends.png")
    opened.page.hover(".overlay", position={"x": 60, "y": 60})
    assert "Row end" not in opened.page.inner_text(".tip")
    opened.page.click(".choice button:text-is('Off')")
    assert opened.page.inner_text(".ends") == ""
    opened.page.click(".choice button:text-is('Mask')")
    opened.page.click(".choice button:text-is('Base')")
    assert opened.page.inner_text(".ends") == ""
    assert "Row end" not in tip_at_the_edge(opened, 0)


def test_two_sides_say_who_keeps_a_row_end(visit: Open, picture: Path) -> None:
    opened = meet(visit(), picture)
    look(opened, "difference")
    assert "Row end, kept by neither side: token" in tip_at_the_edge(opened, 0)
