"""The static gallery in a real browser, served from a sub path by a server for files."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iwp.gallery import site
from iwp.ui.examples import EXAMPLES, Examples
from tests.browser.conftest import Visit
from tests.browser.moves import drag
from tests.browser.test_accessibility import DESK, PHONE, findings

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Visit]
EMBEDDED = Examples(EXAMPLES)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("served")
    site.write(EMBEDDED, root / "some" / "path")
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(root))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/some/path/"
    server.shutdown()
    server.server_close()


def loaded(opened: Visit) -> Visit:
    opened.page.wait_for_function("document.querySelector('#left-answer').textContent")
    opened.page.wait_for_function("document.querySelector('.picture').complete")
    return opened


def answers(opened: Visit) -> tuple[str, str]:
    return opened.page.inner_text("#left-answer"), opened.page.inner_text("#right-answer")


def recorded(number: int, budget: float) -> tuple[str, str]:
    assert EMBEDDED.recordings is not None
    result = EMBEDDED.recordings.entries[number - 1].at(budget)
    assert result is not None
    return result.baseline.answer, result.pruned.answer


def test_the_first_example_and_the_slider(visit: Open, gallery: str, pictures_folder: Path) -> None:
    opened = loaded(visit(gallery))
    assert opened.page.inner_text("#question") == EMBEDDED.question(1)
    assert answers(opened) == recorded(1, 0.222)
    assert "Recorded, not run just now" in opened.page.inner_text("body")
    opened.page.screenshot(path=pictures_folder / "gallery.png", full_page=True)
    before = opened.canvas()
    opened.requests.clear()
    drag(opened, 0.22, 0.42)
    assert opened.canvas() != before
    opened.page.mouse.up()
    opened.wait_for_text("#beside", "the answers were recorded at 35.3 %")
    assert opened.requests == []
    opened.page.click(".presets button:text-is('5 %')")
    opened.wait_for_text("#beside", "Recorded at 5 %.")
    assert opened.view("keep") == round(0.05 * opened.view("map.n"))
    assert opened.page.url.endswith("?example=1&b=5")


def test_every_example_opens(visit: Open, gallery: str, pictures_folder: Path) -> None:
    opened = loaded(visit(gallery, color_scheme="dark"))
    for number in range(1, len(EMBEDDED.asked) + 1):
        opened.page.click(f"#examples button[data-number='{number}']")
        opened.wait_for_text("#question", EMBEDDED.question(number))
        assert answers(opened) == recorded(number, 0.222)
    opened.page.wait_for_timeout(300)
    opened.page.screenshot(path=pictures_folder / "gallery-dark.png", full_page=True)
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert all(int(part) < 60 for part in re.findall(r"\d+", background)[:3])


def test_an_address_opens_an_example_at_a_budget(visit: Open, gallery: str) -> None:
    opened = loaded(visit(f"{gallery}?example=4&b=11.1"))
    assert answers(opened) == recorded(4, 0.111)
    assert opened.view("percent") == 11.1
    odd = loaded(visit(f"{gallery}?example=999&b=-3"))
    assert odd.page.inner_text("#question") == EMBEDDED.question(1)


def test_keys_alone_are_enough(visit: Open, gallery: str) -> None:
    opened = loaded(visit(gallery))
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Enter")
    opened.wait_for_text("#question", EMBEDDED.question(2))
    assert opened.page.get_attribute("#examples [data-number='2']", "aria-pressed") == "true"
    opened.page.focus(".range")
    opened.page.keyboard.press("ArrowRight")
    opened.wait_for_text("#beside", "22.3 %")


def test_a_phone_needs_no_sideways_scroll(visit: Open, gallery: str, pictures_folder: Path) -> None:
    opened = loaded(visit(gallery, viewport=PHONE, device_scale_factor=2, is_mobile=True))
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    opened.page.screenshot(path=pictures_folder / "gallery-phone.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing(
    visit: Open, gallery: str, scheme: str, viewport: dict[str, int]
) -> None:
    for number in (4, len(EMBEDDED.asked)):  # two answers that differ, and a clip
        address = f"{gallery}?example={number}"
        assert findings(loaded(visit(address, viewport=viewport, color_scheme=scheme))) == []
