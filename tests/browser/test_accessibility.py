"""axe-core on the whole page: WCAG 2.2 A and AA, light and dark, desk and phone, at every stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iwp.ui.layout import EXAMPLES
from tests.browser.conftest import Visit, serve
from tests.browser.fake import FakeEngine

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
FOLDED = ("#sides", "#settings", "#camera")
CLIP = EXAMPLES / "clip-1.mp4"
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
DESK, PHONE = {"width": 1360, "height": 1000}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def everything() -> Iterator[str]:
    """A page on which nothing is hidden: with examples and a camera."""
    engine = FakeEngine(word_s=0.01)
    engine.glimpse_s = 0.1
    yield from serve(engine, EXAMPLES)


def findings(visit: Visit) -> list[str]:
    """What axe-core objects to: its rule, and the element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
    found = axe.run(visit.page, options=options).response["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing(
    visit: Open, everything: str, picture: Path, scheme: str, viewport: dict[str, int]
) -> None:
    opened = visit(everything, viewport=viewport, color_scheme=scheme)
    assert findings(opened) == []
    for part in FOLDED:
        opened.page.click(f"{part} > button")
    opened.compare(picture, "What is written on it?")
    opened.wait_for_text("#status", "Done")
    opened.page.click("#sweep")
    opened.wait_for_text("#status", "table")
    assert findings(opened) == []
    assert opened.page.evaluate(SIDEWAYS) <= 0


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing_around_a_video(
    visit: Open, everything: str, scheme: str, viewport: dict[str, int]
) -> None:
    opened = visit(everything, viewport=viewport, color_scheme=scheme)
    opened.page.click("#video-tab-button")
    opened.page.set_input_files("#video input[type=file]", str(CLIP))
    opened.page.wait_for_selector("#clip .clip")
    opened.page.fill("#question textarea", "What moves?")
    opened.page.click("#compare")
    opened.wait_for_text("#status", "Done")
    assert findings(opened) == []
    opened.page.click(".token-map button:text-is('All frames')")
    assert findings(opened) == []
    assert opened.page.evaluate(SIDEWAYS) <= 0


def test_axe_finds_a_button_without_a_name(visit: Open, everything: str) -> None:
    opened = visit(everything)
    opened.page.evaluate("document.querySelector('#header').innerHTML += '<button></button>'")
    assert any(found.startswith("button-name") for found in findings(opened))
