"""Links, downloads and random examples in a real browser, with the fake engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.conftest import Visit, serve
from tests.browser.fake import FakeEngine
from tests.browser.moves import choose

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
QUESTIONS = ("Is it red & round?", "Is it blue?")


@pytest.fixture(scope="module")
def shop(engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with two examples."""
    folder = tmp_path_factory.mktemp("examples")
    entries = []
    for colour, question in zip(("red", "blue"), QUESTIONS, strict=True):
        Image.new("RGB", (120, 90), colour).save(folder / f"{colour}.png")
        entries.append({"image": f"{colour}.png", "question": question})
    (folder / "examples.json").write_text(json.dumps(entries))
    yield from serve(engine, folder)


def question(opened: Visit) -> str:
    return opened.page.input_value("#question textarea")


def copied(opened: Visit) -> str:
    text: str = opened.page.evaluate("navigator.clipboard.readText()")
    return text


CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}


@pytest.mark.slow
def test_a_link_brings_back_picture_question_budget_and_sides(
    visit: Open, shop: str, pictures_folder: Path
) -> None:
    opened = visit(shop, **CLIPBOARD)
    opened.page.click("#examples tr:has-text('red') >> nth=0")
    opened.page.wait_for_selector("#picture img")
    opened.page.click("#sides button")
    choose(opened, "left", "FastV")
    opened.page.click(".presets button:text-is('35.3 %')")
    opened.page.click("#compare")
    opened.wait_for_text("#status", "Done")
    opened.page.focus(".share-bar .link:enabled")  # it waits for the answers
    opened.page.keyboard.press("Enter")
    opened.wait_for_text(".share-bar .said", "Link copied.")
    link = copied(opened)
    assert link == f"{shop}?example=1&q=Is+it+red+%26+round%3F&b=35.3&left=fastv"
    opened.page.locator("#share").screenshot(path=pictures_folder / "share.png")

    other = visit(link)
    other.page.wait_for_selector("#picture img")
    other.page.wait_for_function("document.querySelector('.percent').innerText === '35.3 %'")
    assert question(other) == QUESTIONS[0]
    other.page.click("#compare")
    other.wait_for_text("#baseline label span", "Kept by FastV")
    other.wait_for_text("#status", "Done")
    assert other.answer("baseline") == opened.answer("baseline")


def test_a_picture_of_ones_own_is_not_in_the_link(visit: Open, shop: str, picture: Path) -> None:
    opened = visit(shop, **CLIPBOARD)
    assert opened.page.is_disabled(".share-bar .link")
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    opened.page.click(".share-bar .link")
    opened.wait_for_text(".share-bar .said", "It cannot hold your picture")
    assert copied(opened).endswith("?q=What+is+it%3F&b=22.2")


def test_a_forged_link_fills_in_what_it_can(visit: Open, shop: str) -> None:
    opened = visit(f"{shop}?example=7&q=Why%3F&b=1000&left=%3Cscript%3E")
    opened.wait_for_text("#status", "cannot use: b, example, left")
    assert question(opened) == "Why?"
    assert opened.page.inner_text(".percent") == "22.2 %"


def test_report_and_snippet(visit: Open, shop: str, picture: Path) -> None:
    opened = visit(shop, **CLIPBOARD)
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    opened.page.wait_for_selector(".share-bar .report:not([disabled])")
    with opened.page.expect_download() as download:
        opened.page.click(".share-bar .report")
    found = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert found["result"]["pruned"]["answer"] == opened.answer("pruned")
    assert found["inputs"]["budget"] == 0.222
    opened.page.click(".share-bar .snippet")
    opened.wait_for_text(".share-bar .said", "Python copied")
    assert compile(copied(opened), "snippet", "exec")


@pytest.mark.slow
def test_a_random_example_is_another_one(visit: Open, shop: str) -> None:
    opened = visit(shop)
    opened.page.focus("#random")
    for _ in range(3):
        before = question(opened)
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_function(
            "before => document.querySelector('#question textarea').value !== before", arg=before
        )
        assert question(opened) in QUESTIONS
    opened.page.wait_for_selector("#picture img")
    opened.page.click("#compare")
    opened.wait_for_text("#status", "Done")


def test_a_phone_has_room_for_the_buttons(visit: Open, shop: str) -> None:
    opened = visit(shop, viewport={"width": 390, "height": 844}, is_mobile=True)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
