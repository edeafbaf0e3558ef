"""The engine for hosts that lend a GPU per call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from iwp.errors import IWPError
from iwp.events import Done
from iwp.types import Media
from iwp.ui.forked import ForkedEngine
from tests.browser.fake import FakeEngine

PICTURE = Media((Image.new("RGB", (90, 60)),))


def as_lent(work: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """What a host does: run the generator elsewhere. Here: right here."""

    def call(*given: Any) -> Iterator[Any]:
        yield from work(*given)

    return call


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(word_s=0.005)


@pytest.fixture
def forked(engine: FakeEngine) -> ForkedEngine:
    return ForkedEngine(engine, as_lent)  # type: ignore[arg-type]


def test_a_comparison_and_another_budget(forked: ForkedEngine) -> None:
    *_, done = forked.compare(PICTURE, "What?", 0.25).updates()
    assert isinstance(done, Done)
    assert done.result.budget == 0.25
    assert forked.repruned(done.session, 0.5).result().budget == 0.5


def test_a_refusal_keeps_its_sentence(forked: ForkedEngine) -> None:
    with pytest.raises(IWPError, match="Keep between"):
        list(forked.compare(PICTURE, "What?", 2.0).updates())


def test_stop_gives_the_device_back(engine: FakeEngine, forked: ForkedEngine) -> None:
    engine.words = 500
    run = forked.compare(PICTURE, "What?", 0.25)
    for number, _ in enumerate(run.updates()):
        if number == 3:
            run.stop()
    engine.compare(PICTURE, "What?", 0.25).stop()
    with pytest.raises(IWPError, match="stopped before both answers"):
        run.result()


def test_it_looks_like_the_engine(engine: FakeEngine, forked: ForkedEngine) -> None:
    assert (forked.vlm, forked.device_name) == (engine.vlm, engine.device_name)
