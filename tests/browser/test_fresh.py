"""Answers to what the form no longer says, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.conftest import Visit
from tests.browser.fake import FakeEngine

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
OLD, NEW = "What is it?", "What colour is it?"


@pytest.fixture
def opened(visit: Open, picture: Path) -> Visit:
    """A page that has answered the old question."""
    opened = visit()
    opened.compare(picture, OLD)
    opened.wait_for_text("#status", "Done")
    assert not opened.page.is_visible(".stale")
    return opened


def test_another_question_is_told_until_it_is_asked(opened: Visit) -> None:
    opened.page.fill("#question textarea", NEW)
    opened.page.wait_for_selector(f".stale:has-text('{OLD}')")
    opened.page.fill("#question textarea", f" {OLD} ")
    opened.page.wait_for_selector(".stale", state="hidden")
    opened.page.fill("#question textarea", "")  # asks nothing
    opened.page.wait_for_timeout(200)
    assert not opened.page.is_visible(".stale")
    opened.page.fill("#question textarea", NEW)
    opened.page.wait_for_selector(".stale")
    opened.page.click("#compare")
    opened.page.wait_for_selector(".stale", state="hidden")
    opened.wait_for_text("#status", "Done")
    assert NEW in opened.answer("pruned")


def test_letting_go_of_the_budget_asks_the_new_question(opened: Visit, engine: FakeEngine) -> None:
    opened.page.fill("#question textarea", NEW)
    opened.page.wait_for_selector(".stale")
    opened.page.click(".presets button:text-is('11.1 %')")
    opened.page.wait_for_selector(".stale", state="hidden")
    opened.wait_for_text("#timings", "11.1 %")
    assert NEW in opened.answer("baseline")
    assert NEW in opened.answer("pruned")
    assert engine.runs[-1] == ("compare", 0.111)


def test_another_picture_is_told_and_not_swept(
    opened: Visit, engine: FakeEngine, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    Image.new("RGB", (300, 200), "#336699").save(other)
    opened.page.click("#picture button[aria-label='Remove Image']")
    opened.page.wait_for_selector("#picture img", state="detached")
    assert not opened.page.is_visible(".stale")  # nothing would be asked
    opened.upload(other)
    opened.page.wait_for_selector(".stale")
    runs = len(engine.runs)
    opened.page.click("#sweep")
    opened.wait_for_text(".toast-body", "has changed. Press Compare")
    assert len(engine.runs) == runs
    opened.page.click("#compare")
    opened.page.wait_for_selector(".stale", state="hidden")
    opened.wait_for_text("#status", "Done")
    assert opened.view("map.width") == 300


@pytest.mark.slow
def test_the_open_tab_counts(opened: Visit, clip: Path) -> None:
    opened.page.click("#video-tab-button")
    opened.page.set_input_files("#video input[type=file]", str(clip))
    opened.page.wait_for_selector(".stale")
    opened.page.click("[role=tab]:has-text('Picture')")
    opened.page.wait_for_selector(".stale", state="hidden")


def test_a_hand_keeps_its_patches(opened: Visit, engine: FakeEngine) -> None:
    opened.page.click(".pick")
    opened.page.fill("#question textarea", NEW)
    opened.page.wait_for_selector(".stale")
    runs = len(engine.runs)
    opened.page.click(".presets button:text-is('11.1 %')")
    opened.page.wait_for_timeout(600)
    assert opened.page.is_visible(".hand")
    assert ("compare", 0.111) not in engine.runs[runs:]


def test_a_refused_picture_is_not_asked_about(
    opened: Visit, engine: FakeEngine, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture at all")
    opened.page.click("#picture button[aria-label='Remove Image']")
    opened.page.wait_for_selector("#picture img", state="detached")
    opened.page.set_input_files("#picture input[type=file]", str(broken))
    opened.page.wait_for_selector("#picture-refusal .refusal")
    opened.page.wait_for_selector(".stale")
    opened.page.click(".presets button:text-is('11.1 %')")  # the shown picture's, as before
    opened.wait_for_text("#timings", "11.1 %")
    assert engine.runs[-1] == ("repruned", 0.111)
    assert opened.page.is_visible(".stale")
