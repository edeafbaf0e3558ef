"""Videos of families that put several frames into one grid of tokens, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import serve
from tests.browser.fake import FakeEngine
from tests.browser.test_video import Open, compare

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def pairs() -> Iterator[str]:
    """The address of a page whose model puts three frames into one grid."""
    yield from serve(FakeEngine(word_s=0.001, together=3))


def test_frames_with_one_grid_have_one_bar(visit: Open, clip: Path, pairs: str) -> None:
    opened = compare(visit(pairs), clip)
    opened.page.wait_for_timeout(80)

    def bars() -> list[int]:
        return [int(words) for words in opened.page.locator(".tally b").all_inner_texts()]

    assert len(bars()) == 2  # of frames 1 to 3, and of the fourth
    assert sum(bars()) in (opened.view("keep"), opened.view("keep") - 1)  # the clip's end
    wide, narrow = (
        bar.bounding_box() or {"width": 0.0} for bar in opened.page.locator(".tally span").all()
    )
    assert wide["width"] == pytest.approx(3 * narrow["width"], abs=6)
    assert f", {bars()[0]}/49 of frames 1 to 3" in opened.page.inner_text(".summary")
    opened.page.click(".tally span >> nth=0")
    opened.wait_for_text(".where", "2 of 4")
    assert opened.page.locator(".tally span[data-shown]").count() == 1
    told = opened.page.get_attribute(".scrub", "aria-valuetext") or ""
    assert f"{bars()[0]} of 49 tokens of frames 1 to 3 kept" in told
    opened.page.click(".tally span >> nth=1")
    opened.wait_for_text(".where", "4 of 4")
    opened.page.wait_for_timeout(80)
    assert f", {bars()[1]}/49 of this frame" in opened.page.inner_text(".summary")
    assert bars()[1] > 0
