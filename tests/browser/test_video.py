"""Videos on the page in a real browser: frames, scrubber, sheet, bars, play, MP4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from iwp.budget import keep_count
from tests.browser.conftest import Visit
from tests.browser.moves import choose, drag, look
from tests.browser.tokens import FRAME_SIDE

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
QUESTION = "What moves?"
FRAMES = 4
N = FRAMES * FRAME_SIDE**2 + 1


def give(opened: Visit, clip: Path) -> None:
    """Choose a file on the video's tab."""
    opened.page.click("#video-tab-button")
    opened.page.set_input_files("#video input[type=file]", str(clip))
    opened.page.wait_for_selector("#clip .clip")


def compare(opened: Visit, clip: Path, question: str = QUESTION) -> Visit:
    """Ask about a video and wait for both answers and all frames."""
    give(opened, clip)
    opened.page.fill("#question textarea", question)
    opened.page.click("#compare")
    opened.wait_for_text("#status", "Done")
    opened.page.wait_for_function(
        "document.querySelector('.token-map').tokenMap.view.map.frames.every(f => f.image.complete)"
    )
    return opened


@pytest.fixture
def compared(visit: Open, clip: Path) -> Visit:
    """A page with both answers about a video."""
    return compare(visit(), clip)


def where(opened: Visit) -> str:
    return opened.page.inner_text(".where")


def settled(opened: Visit) -> str:
    """The overlay's pixels once they are drawn."""
    opened.page.wait_for_timeout(80)
    return opened.canvas()


def test_a_video_is_shown_decoded_and_answered(compared: Visit, pictures_folder: Path) -> None:
    assert "4 frames out of 1.2 s" in compared.page.inner_text("#clip")
    assert compared.page.locator("#clip img").count() == FRAMES
    assert compared.answer("baseline").startswith(f"{N:,} tokens looked at: {QUESTION}")
    assert where(compared) == "1 of 4, 0.00 s"
    keep = keep_count(N, 0.222)
    assert f"keeps {keep:,} of {N:,}" in compared.page.inner_text(".summary")
    assert "of this frame" in compared.page.inner_text(".summary")
    compared.page.screenshot(path=pictures_folder / "video.png", full_page=True)


def test_frames_are_scrubbed_without_a_request(compared: Visit) -> None:
    compared.quiet()
    seen = [settled(compared)]
    compared.page.focus(".scrub")
    for expected in ("2 of 4, 0.40 s", "3 of 4, 0.80 s", "4 of 4, 1.20 s"):
        compared.page.keyboard.press("ArrowRight")
        seen.append(settled(compared))
        assert where(compared) == expected
    assert len(set(seen)) == FRAMES
    told = compared.page.get_attribute(".scrub", "aria-valuetext") or ""
    assert told.startswith("Frame 4 of 4 at 1.20 s, ")
    compared.page.keyboard.press(",")
    assert settled(compared) == seen[2]
    compared.page.keyboard.press(".")
    assert settled(compared) == seen[3]
    assert compared.requests == []


def test_bars_count_the_kept_tokens_of_every_frame(compared: Visit) -> None:
    compared.quiet()
    for end in (0.5, 1.0):
        drag(compared, 0.22, end)
        bars = [int(words) for words in compared.page.locator(".tally b").all_inner_texts()]
        in_frames = sum(bars)
        assert in_frames in (compared.view("keep"), compared.view("keep") - 1)  # the clip's end
        assert max(bars) <= FRAME_SIDE**2
    assert bars == [FRAME_SIDE**2] * FRAMES
    assert compared.requests == []
    compared.page.mouse.up()
    compared.wait_for_text("#status", "Done")
    compared.page.click(".tally span >> nth=2")
    assert where(compared).startswith("3 of 4")


def test_all_frames_on_a_sheet(compared: Visit, pictures_folder: Path) -> None:
    page = compared.page
    single = settled(compared)
    page.click("[data-choice=film] [data-value=sheet]")
    assert settled(compared) != single
    page.locator("#token-map").screenshot(path=pictures_folder / "sheet.png")
    before = compared.canvas()
    compared.quiet()
    drag(compared, 0.22, 0.6)
    assert compared.canvas() != before
    assert compared.requests == []
    page.mouse.up()
    compared.wait_for_text("#status", "Done")
    page.focus(".overlay")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".live").startswith("Frame 2 of 4")
    page.keyboard.press("Enter")
    page.wait_for_timeout(80)
    assert (compared.view("sheet"), compared.view("frame")) == (False, 1)
    page.keyboard.press("a")
    page.wait_for_timeout(80)
    box = page.locator(".overlay").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] - 10, box["y"] + box["height"] - 10)
    assert (compared.view("sheet"), compared.view("frame")) == (False, 3)


@pytest.mark.slow
def test_play_goes_through_the_frames_and_pauses(compared: Visit) -> None:
    page = compared.page
    assert page.inner_text(".play") == "Play"
    page.click(".play")
    page.wait_for_function("document.querySelector('.where').innerText.startsWith('3 of 4')")
    page.click(".play")
    stopped = where(compared)
    page.wait_for_timeout(900)
    assert where(compared) == stopped
    page.keyboard.press("p")
    assert page.inner_text(".play") == "Pause"
    page.wait_for_function("document.querySelector('.where').innerText.startsWith('1 of 4')")
    page.keyboard.press("p")


@pytest.mark.slow
def test_nothing_moves_by_itself_and_little_for_who_wants_that(visit: Open, clip: Path) -> None:
    opened = compare(visit(reduced_motion="reduce"), clip)
    opened.page.wait_for_timeout(900)
    assert where(opened).startswith("1 of 4")
    opened.page.click(".play")
    opened.wait_for_text(".where", "4 of 4")
    opened.wait_for_text(".play", "Play")  # once and no more
    assert where(opened).startswith("4 of 4")


@pytest.mark.slow
def test_modes_tooltip_and_png_are_those_of_the_frame(compared: Visit) -> None:
    page = compared.page
    page.focus(".scrub")
    page.keyboard.press("End")
    page.click(".presets button:text-is('50 %')")
    compared.wait_for_text("#status", "Done")
    seen = {settled(compared)}
    for button in ("Heatmap", "Outline", "Off"):
        page.click(f".choice button:text-is('{button}')")
        seen.add(settled(compared))
    assert len(seen) == 4
    page.click(".choice button:text-is('Mask')")
    page.focus(".overlay")
    page.keyboard.press("ArrowRight")
    tip = page.inner_text(".tip")
    assert "rank" in tip
    assert "Nearest duplicate" in tip
    assert "Frame 4, row 4, column 4" in tip
    page.keyboard.press(",")
    page.wait_for_timeout(80)
    assert "Frame 3, row 4, column 4" in page.inner_text(".tip")
    with page.expect_download() as download:
        page.click(".save")
    assert download.value.suggested_filename == "tokens_frame3_50.0pct.png"
    with Image.open(download.value.path()) as saved:
        assert saved.size == (160, 96)


@pytest.mark.slow
def test_a_hand_paints_on_a_frame(compared: Visit) -> None:
    page = compared.page
    page.click("[data-choice=film] [data-value=sheet]")
    page.click(".pick")
    assert compared.view("sheet") is False
    page.click(".hand .none")
    page.focus(".overlay")
    for key in ("ArrowRight", " ", ".", " "):  # the same patch of two frames
        page.keyboard.press(key)
    page.wait_for_timeout(80)
    assert "your hand keeps 2 of 197" in page.inner_text(".summary")
    assert page.locator(".tally b").all_inner_texts() == ["1", "1", "0", "0"]
    page.click(".ask")
    compared.wait_for_text("#pruned label span", "Kept by your hand")
    compared.wait_for_text("#status", "Done")
    assert compared.answer("pruned").startswith("2 tokens looked at")


@pytest.mark.slow
def test_two_methods_differ_frame_by_frame(visit: Open, clip: Path) -> None:
    opened = visit()
    opened.page.click("#sides button")
    choose(opened, "left", "FastV")
    compare(opened, clip)
    look(opened, "difference")
    opened.page.wait_for_timeout(80)
    bars = [int(words) for words in opened.page.locator(".tally b").all_inner_texts()]
    _, left, right, both = opened.view("counts")
    assert sum(bars) in (left + right + both, left + right + both - 1)


@pytest.mark.slow
def test_dark(visit: Open, clip: Path, pictures_folder: Path) -> None:
    opened = compare(visit(color_scheme="dark"), clip)
    opened.page.screenshot(path=pictures_folder / "video-dark.png", full_page=True)


@pytest.mark.slow
def test_a_phone_needs_no_sideways_scroll(visit: Open, clip: Path, pictures_folder: Path) -> None:
    phone = {"width": 390, "height": 844}
    opened = visit(viewport=phone, device_scale_factor=2, has_touch=True, is_mobile=True)
    compare(opened, clip)
    for view in ("frame", "sheet"):
        opened.page.click(f"[data-choice=film] [data-value={view}]")
        opened.page.wait_for_timeout(80)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
        opened.page.screenshot(path=pictures_folder / f"video-phone-{view}.png", full_page=True)
    small = opened.page.evaluate(
        """() => [...document.querySelectorAll(".film button, .scrub, .export")].filter(
            (one) => one.offsetHeight < 40
        ).map((one) => one.className)"""
    )
    assert small == []
