"""The page on the real engine: the embedded model where it is there, else a tiny random one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iwp.budget import keep_count
from iwp.engine import Engine
from iwp.settings import Settings
from iwp.video import open_video
from tests.browser.conftest import Visit, serve
from tests.browser.moves import look, meet
from tests.browser.test_video import compare

pytestmark = pytest.mark.browser
ASSETS = Path(__file__).parents[2] / "assets"
EMBEDDED = ASSETS / "demo-model" / "config.json"
CLIP = ASSETS / "examples" / "clip-1.mp4"


@pytest.fixture(scope="module")
def real_address(tiny_folder: Path) -> Iterator[str]:
    model = "demo" if EMBEDDED.is_file() else str(tiny_folder)
    engine = Engine.load(Settings(model=model, device="cpu", max_new_tokens=24))
    engine.warm_up()
    yield from serve(engine)


def test_two_answers_of_a_real_model(
    visit: Callable[..., Visit], real_address: str, picture: Path, pictures_folder: Path
) -> None:
    opened = visit(real_address)
    opened.compare(picture, "What is written in the corner?")
    opened.wait_for_text("#status", "Done")
    assert opened.answer("baseline")
    assert opened.answer("pruned")
    n = opened.view("map.n")
    assert f"{keep_count(n, 0.222):,} of {n:,}" in opened.page.inner_text("#timings")
    opened.page.screenshot(path=pictures_folder / "real.png", full_page=True)

    before = opened.canvas()
    opened.quiet()
    box = opened.page.locator(".range").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    opened.page.mouse.move(box["x"] + 0.22 * box["width"], middle)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 0.6 * box["width"], middle, steps=10)
    opened.page.wait_for_timeout(100)
    assert opened.canvas() != before
    assert opened.requests == []
    opened.page.mouse.up()
    kept = f"{opened.view('keep'):,} of {n:,}"
    opened.wait_for_text("#timings", kept)
    opened.wait_for_text("#status", "Done")


@pytest.mark.slow
def test_two_methods_on_a_real_model(
    visit: Callable[..., Visit], real_address: str, picture: Path, pictures_folder: Path
) -> None:
    opened = meet(visit(real_address), picture, "FastV", "DART")
    look(opened, "difference")
    neither, left, right, both = opened.view("counts")
    n = opened.view("map.n")
    assert neither + left + right + both == n
    assert left + both == keep_count(n, 0.222)
    table = opened.page.inner_text("#timings")
    assert f"{left + both:,} of {n:,}\t{right + both:,} of {n:,}" in table
    opened.page.screenshot(path=pictures_folder / "real-arena.png", full_page=True)


@pytest.mark.slow
def test_a_video_on_a_real_model(
    visit: Callable[..., Visit], real_address: str, pictures_folder: Path
) -> None:
    opened = compare(visit(real_address), CLIP, "Which way does the red star move?")
    n, frames = opened.view("map.n"), opened.view("map.frames.length")
    assert frames == opened.page.locator(".tally span").count()
    opened.page.screenshot(path=pictures_folder / "real-video.png", full_page=True)
    if EMBEDDED.is_file():
        assert (opened.answer("baseline"), opened.answer("pruned")) == ("left", "left")
    opened.page.click("#sweep")
    opened.wait_for_text("#status", "Done. The plot")
    rows = opened.page.locator(".sweep tbody tr")
    assert f"{n:,} of {n:,}" in rows.first.inner_text()
    with opened.page.expect_download() as download:
        opened.page.click(".export")
    assert len(open_video(download.value.path(), 64).frames) >= frames
