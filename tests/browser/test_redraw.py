"""How long the overlay takes per slider event. Prints the numbers: no test asserts time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Visit
from tests.browser.moves import look, meet

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MEASURE = """async (mode) => {
    const root = document.querySelector('.token-map');
    const { view, draw, setPercent } = root.tokenMap;
    root.querySelector(`[data-value=${mode}]`).click();
    const canvas = root.querySelector('.overlay');
    const context = canvas.getContext('2d');
    const script = [];
    const flushed = [];
    for (let i = 0; i < 100; i++) {
        const start = performance.now();
        setPercent(5 + ((i * 37) % 90));
        draw();
        script.push(performance.now() - start);
        context.getImageData(0, 0, 1, 1);          // wait for the pixels
        flushed.push(performance.now() - start);
        if (i % 10 === 0) await new Promise(requestAnimationFrame);
    }
    const at = (times, share) => times.sort((a, b) => a - b)[Math.floor(share * times.length)];
    return {
        tokens: view.map.n, width: canvas.width, height: canvas.height,
        script50: at(script, 0.5), script95: at(script, 0.95),
        pixels50: at(flushed, 0.5), pixels95: at(flushed, 0.95),
    };
}"""


def measure(opened: Visit, view: str, *modes: str) -> None:
    for mode in modes:
        took = opened.page.evaluate(MEASURE, mode)
        assert took["tokens"] > 7290
        print(
            f"{view}, {mode}: {took['tokens']:,} tokens on {took['width']}x{took['height']}: "
            f"draw {took['script50']:.2f} ms (95 %: {took['script95']:.2f}), "
            f"pixels there after {took['pixels50']:.2f} ms (95 %: {took['pixels95']:.2f})"
        )


def test_redraw_of_a_large_picture(visit: Callable[..., Visit], picture: Path) -> None:
    opened = visit()
    opened.compare(picture, "What?")
    opened.wait_for_text("#status", "Done")
    measure(opened, "one side", "mask", "heat", "outline")


def test_redraw_of_a_difference(visit: Callable[..., Visit], picture: Path) -> None:
    opened = visit()
    meet(opened, picture, "FastV", "IWP")
    look(opened, "difference")
    assert min(opened.view("counts")) > 0
    measure(opened, "difference", "mask", "outline")
