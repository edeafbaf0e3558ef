"""The live camera in a browser, before Chromium's own moving test picture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from iwp.events import Ranked
from iwp.types import Media
from tests.browser.conftest import ARGUMENTS, CHROMIUM, PATIENCE_MS, serve
from tests.browser.fake import FakeEngine

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SLOW_S = 0.4
BACKLOG = 2  # frames on their way when the camera stops
FAKE_CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
LIVE = "#camera-live img"


class SlowEngine(FakeEngine):
    """Needs a while for each frame, and remembers what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[tuple[str, float]] = []

    def glimpse(self, media: Media, question: str, budget: float) -> Ranked | None:
        self.looks.append((question, budget))
        time.sleep(SLOW_S)
        return super().glimpse(media, question, budget)


@pytest.fixture
def slow(request: pytest.FixtureRequest) -> SlowEngine:
    """A test's parameter says what one frame is measured to cost."""
    slow = SlowEngine()
    slow.glimpse_s = getattr(request, "param", SLOW_S)
    return slow


@pytest.fixture
def page(browser: Browser, slow: SlowEngine) -> Iterator[Page]:
    """A page in a browser of its own: the camera is an argument of the browser's start."""
    running = browser.browser_type.launch(
        executable_path=str(CHROMIUM), args=[*ARGUMENTS, *FAKE_CAMERA]
    )
    complaints: list[str] = []
    for address in serve(slow):
        page = running.new_page(viewport={"width": 1360, "height": 1200})
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type == "error" else None,
        )
        page.goto(address)
        yield page
        running.close()  # before the server ends, of which the page would complain
    assert complaints == []


def start(page: Page) -> None:
    """Open the panel and let the camera run."""
    page.click("#camera > button")
    page.click("#camera-frame button:not(.upload-container)")
    page.click("#camera-frame .capture-button")


def shown(page: Page) -> str:
    return page.get_attribute(LIVE, "src") or ""


def test_the_camera_shows_its_frames_with_the_dropped_patches_dark(
    page: Page, slow: SlowEngine
) -> None:
    page.fill("#question textarea", "Where is the pie?")
    start(page)
    page.wait_for_selector(LIVE)
    first = shown(page)
    page.wait_for_function(
        "first => document.querySelector('#camera-live img').src != first", arg=first
    )
    assert "tokens kept" in page.inner_text("#camera-live")
    assert ("Where is the pie?", pytest.approx(0.222)) in slow.looks


def test_a_slow_device_leaves_frames_out_and_never_lags(page: Page, slow: SlowEngine) -> None:
    start(page)
    page.wait_for_selector(LIVE)
    page.wait_for_timeout(4000)
    page.click("#camera-frame .capture-button")
    looked = len(slow.looks)
    page.wait_for_timeout(4000)
    assert len(slow.looks) - looked <= BACKLOG


@pytest.mark.parametrize("slow", [None, 0.6], indirect=True)
def test_a_device_too_slow_for_a_camera_offers_none(page: Page) -> None:
    page.wait_for_selector(".token-map")
    page.wait_for_timeout(500)
    assert not page.is_visible("#camera")
