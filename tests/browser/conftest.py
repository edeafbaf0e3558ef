"""A browser, a served page with the fake engine, and pictures that nobody has seen before."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageDraw

from iwp.settings import Settings
from iwp.ui import build_demo, launch_options
from tests import clips
from tests.browser.fake import FakeEngine

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE_MS = 60_000
# gradio mounts its parts one after the other; the static gallery is there at once.
MOUNTED = """() => {
    const there = (part) => document.querySelector(part);
    const parts = ["#question", "#compare", "#baseline textarea", "#pruned textarea", ".share-bar"];
    return there(".token-map")?.tokenMap && (!window.gradio_config || parts.every(there));
}"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM.is_file():
        pytest.skip(f"Chromium is not installed at {CHROMIUM}")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def engine() -> FakeEngine:
    return FakeEngine(word_s=0.03)


def serve(engine: Any, examples: Path = Path("/nowhere")) -> Iterator[str]:
    """Serve the page on a free port until the caller is done."""
    demo = build_demo(engine, Settings(), examples)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield url
    demo.close()


@pytest.fixture(scope="session")
def address(engine: FakeEngine) -> Iterator[str]:
    yield from serve(engine)


@dataclass
class Visit:
    """One open page, what it asked for and what it complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def upload(self, picture: Path) -> None:
        """Choose a file and wait until gradio has it."""
        self.page.set_input_files("#picture input[type=file]", str(picture))
        self.page.wait_for_selector("#picture img")

    def compare(self, picture: Path, question: str) -> None:
        """Fill in the form and press Compare."""
        self.upload(picture)
        self.page.fill("#question textarea", question)
        self.page.click("#compare")

    def come_again(self) -> None:
        """A fresh page. What the old one says while it is cut off is of no interest."""
        address, said = self.page.url, len(self.complaints)
        self.page.goto("about:blank")
        del self.complaints[said:]
        self.page.goto(address)
        self.page.wait_for_function(MOUNTED)

    def wait_for_text(self, selector: str, text: str) -> None:
        """Wait until an element shows a text."""
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.innerText.includes(text)",
            arg=[selector, text],
        )

    def quiet(self) -> None:
        """Wait until a whole comparison has nothing more to fetch; from here requests count."""
        self.page.wait_for_selector(".share-bar .report:not([disabled])")
        self.requests.clear()

    def answer(self, side: str) -> str:
        """The text in one of the two answer boxes."""
        return self.page.input_value(f"#{side} textarea")

    def canvas(self) -> str:
        """The overlay's pixels."""
        pixels: str = self.page.evaluate("document.querySelector('.overlay').toDataURL()")
        return pixels

    def view(self, expression: str) -> Any:
        """A value of the widget's state, such as `keep`."""
        state = "document.querySelector('.token-map').tokenMap.view"
        return self.page.evaluate(f"{state}.{expression}")


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Visit]]:
    """Opens the page; options are those of a browser context. Complaints fail the test."""
    visits: list[Visit] = []

    def open_page(url: str = address, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": {"width": 1360, "height": 1000}, **options})
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        visit = Visit(page)
        page.on("request", lambda request: visit.requests.append(_described(request)))
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        page.on(
            "console",
            lambda said: visit.complaints.append(said.text) if said.type == "error" else None,
        )
        page.goto(url)
        page.wait_for_function(MOUNTED)
        visits.append(visit)
        return visit

    yield open_page
    for visit in visits:
        visit.page.context.close()
        assert visit.complaints == []
        hosts = {urlsplit(request.split(" ")[1]).hostname for request in visit.requests}
        assert hosts <= {"127.0.0.1", None}, "the page contacted another host"


def _described(request: Request) -> str:
    return f"{request.method} {request.url[:200]}"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A drawing with random shapes and a random code: never seen before."""
    image = Image.new("RGB", (480, 320), "#dfe3ea")
    draw = ImageDraw.Draw(image)
    for _ in range(7):
        x, y, size = secrets.randbelow(400), secrets.randbelow(250), 30 + secrets.randbelow(50)
        shape = secrets.choice([draw.rectangle, draw.ellipse])
        shape((x, y, x + size, y + size), fill=f"#{secrets.token_hex(3)}")
    draw.text((20, 20), secrets.token_hex(2).upper(), fill="black", font_size=24)
    path = tmp_path / "never_seen.png"
    image.save(path)
    return path


@pytest.fixture(scope="session")
def pictures_folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Where screenshots go: `--pictures FOLDER`, or a temporary folder."""
    named = request.config.getoption("--pictures")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of four sampled frames on which a square goes to the right."""
    path = tmp_path / "never_seen.mp4"
    path.write_bytes(clips.film("mp4", clips.drawn(7)))
    return path
