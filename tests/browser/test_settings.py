"""The settings and the look of the overlay in a real browser, with the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iwp.pruners import IWP
from tests.browser.conftest import Visit
from tests.browser.fake import FakeEngine
from tests.browser.moves import choose

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Visit]


def set_number(opened: Visit, name: str, value: str) -> None:
    opened.page.fill(f"#knob-{name} input", value)
    opened.page.press(f"#knob-{name} input", "Tab")


def test_settings_reach_the_right_side(
    visit: Open, picture: Path, engine: FakeEngine, pictures_folder: Path
) -> None:
    opened = visit(permissions=["clipboard-read", "clipboard-write"])
    opened.page.focus("#settings button")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("#knob-layer input", state="visible")
    assert opened.page.input_value("#knob-layer input") == "recommended"
    assert opened.page.input_value("#knob-max_new_tokens input") == "64"
    choose(opened, "knob-layer", "3")
    set_number(opened, "temperature", "0.5")
    set_number(opened, "penalty", "2")
    choose(opened, "knob-bandwidth", "median")
    opened.page.check("#knob-rope_magnitude input")
    opened.page.locator("#settings").screenshot(path=pictures_folder / "settings.png")
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    right = IWP(layer=3, bandwidth="median", penalty=2, rope_magnitude=True)
    assert engine.asked[-1] == (right, None, None, 0.5)
    assert "temperature 0.5" in opened.page.inner_text("#timings")
    opened.page.wait_for_selector(".share-bar .link:not([disabled])")
    opened.page.click(".share-bar .link")
    opened.wait_for_text(".share-bar .said", "Link copied.")
    link = opened.page.evaluate("navigator.clipboard.readText()")
    assert "&layer=3&temperature=0.5&" in link
    assert "set=rope_magnitude%3DTrue%2Cpenalty%3D2%2Cbandwidth%3Dmedian" in link

    other = visit(link)
    other.page.click("#settings button")
    other.page.wait_for_function("document.querySelector('#knob-layer input')?.value === '3'")
    assert other.page.is_checked("#knob-rope_magnitude input")
    assert other.page.input_value("#knob-bandwidth input") == "median"


def test_a_forged_setting_is_answered_with_a_sentence(visit: Open, picture: Path) -> None:
    opened = visit()

    def forge(route: Any) -> None:
        body = route.request.post_data or ""
        route.continue_(post_data=body.replace('"sqrt_d"', '"__import__"'))

    opened.page.route("**/queue/join*", forge)
    opened.compare(picture, "What is it?")
    toast = opened.page.wait_for_selector(".toast-body")
    assert toast is not None
    assert "IWP's bandwidth is one of sqrt_d, median, not '__import__'." in toast.inner_text()
    opened.page.unroute("**/queue/join*")
    opened.page.click("#compare")
    opened.wait_for_text("#status", "Done")


def test_dimming_and_palette_change_the_picture_without_a_request(
    visit: Open, picture: Path, pictures_folder: Path
) -> None:
    opened = visit()
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    opened.quiet()
    opened.page.click(".looks summary")
    before = opened.canvas()
    opened.page.focus(".dim")
    opened.page.keyboard.press("Home")
    opened.page.wait_for_function(CHANGED, arg=before)
    dimmed = opened.canvas()
    opened.page.select_option(".palette", "cividis")
    assert opened.view("mode") == "heat"
    opened.page.wait_for_function(CHANGED, arg=dimmed)
    cividis = opened.canvas()
    opened.page.focus(".palette")
    opened.page.keyboard.press("v")  # types into the menu; no shortcut of the map
    opened.page.wait_for_function("document.querySelector('.palette').value === 'viridis'")
    opened.page.wait_for_function(CHANGED, arg=cividis)
    assert opened.requests == []
    opened.page.locator("#token-map").screenshot(path=pictures_folder / "look.png")


CHANGED = "before => document.querySelector('.overlay').toDataURL() !== before"


# Pixels between the words of the layer's menu and its arrow, which fills the middle of its box.
ROOM = """() => {
    const input = document.querySelector("#knob-layer input");
    const paper = document.createElement("canvas").getContext("2d");
    paper.font = getComputedStyle(input).font;
    const words = input.getBoundingClientRect().left + paper.measureText(input.value).width;
    const arrow = document.querySelector("#knob-layer .icon-wrap").getBoundingClientRect();
    return arrow.left + arrow.width / 4 - words;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_room_for_the_settings(visit: Open, pictures_folder: Path, scheme: str) -> None:
    phone = {"width": 390, "height": 844}
    opened = visit(viewport=phone, is_mobile=True, color_scheme=scheme)
    opened.page.click("#settings button")
    opened.page.click(".looks summary")
    opened.page.wait_for_selector("#knob-separators", state="visible")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.page.evaluate(ROOM) >= 0
    opened.page.screenshot(path=pictures_folder / f"settings-{scheme}.png", full_page=True)
