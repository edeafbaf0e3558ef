"""The budget sweep in a real browser, with the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Visit
from tests.browser.fake import FakeEngine

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]


def compared(opened: Visit, picture: Path) -> Visit:
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done. Move")
    return opened


@pytest.mark.slow
def test_one_button_answers_at_every_budget(
    visit: Open, picture: Path, pictures_folder: Path
) -> None:
    opened = compared(visit(), picture)
    before = opened.answer("baseline"), opened.answer("pruned")
    opened.page.focus("#sweep")
    opened.page.keyboard.press("Enter")
    opened.wait_for_text("#status", "Done. The plot")
    rows = opened.page.locator(".sweep tbody tr")
    budgets = [rows.nth(i).locator("th").inner_text() for i in range(rows.count())]
    assert budgets == ["100.0 %", "50.0 %", "35.3 %", "22.2 %", "11.1 %", "5.0 %"]
    assert "7,371 tokens looked at" in rows.first.inner_text()
    drawn = opened.page.locator(".sweep .plot")
    assert drawn.get_attribute("role") == "img"
    assert "dual weight kept 100 % to 22 %" in (drawn.get_attribute("aria-label") or "")
    assert "read once" in opened.page.inner_text(".sweep")
    assert (opened.answer("baseline"), opened.answer("pruned")) == before
    opened.page.locator("#swept").screenshot(path=pictures_folder / "sweep.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_sweep(
    visit: Open, picture: Path, pictures_folder: Path, scheme: str
) -> None:
    phone = {"width": 390, "height": 844}
    opened = compared(visit(viewport=phone, is_mobile=True, color_scheme=scheme), picture)
    opened.page.click("#sweep")
    opened.wait_for_text("#status", "Done. The plot")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    # no label is cut off at the plot's edge, in a larger type than on a desk
    assert opened.page.evaluate(CUT_OFF) == []
    # the table scrolls in a box of its own, which the keyboard reaches
    box = opened.page.locator(".sweep .scroll")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth && box.tabIndex === 0")
    # the answers stand in view all the same
    right = box.evaluate("box => box.getBoundingClientRect().right")
    for cell in opened.page.locator(".sweep tbody td:nth-child(2)").all():
        place = cell.bounding_box()
        assert place is not None
        assert place["x"] + place["width"] <= right
        assert "tokens looked at" in cell.inner_text()
    opened.page.locator("#swept").screenshot(path=pictures_folder / f"sweep-{scheme}.png")


CUT_OFF = """() => {
    const edge = document.querySelector(".plot").getBoundingClientRect();
    const inside = ({ left, right, top, bottom }) => (
        left >= edge.left && right <= edge.right && top >= edge.top && bottom <= edge.bottom
    );
    const ticks = [...document.querySelectorAll(".plot .tick")];
    return ticks.filter((tick) => !inside(tick.getBoundingClientRect())).map((t) => t.textContent);
}"""


@pytest.mark.slow
def test_stop_keeps_what_is_there(
    visit: Open, picture: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = compared(visit(), picture)
    monkeypatch.setattr(engine, "word_s", 0.1)
    opened.page.click("#sweep")
    opened.wait_for_text("#status", "Answered at 2 of 6")
    opened.page.click("#stop")
    opened.wait_for_text("#status", "Stopped")
    assert 2 <= opened.page.locator(".sweep tbody tr").count() < 6
    assert not engine.busy
    monkeypatch.setattr(engine, "word_s", 0.03)
    compared(opened, picture)  # a new comparison clears it
    assert opened.page.locator(".sweep").count() == 0


def test_before_a_comparison_it_says_what_to_do(visit: Open, engine: FakeEngine) -> None:
    opened = visit()
    before = len(engine.runs)
    opened.page.click("#sweep")
    opened.wait_for_text(".toast-body", "Let a comparison finish first")
    assert len(engine.runs) == before
