"""Two methods side by side in a real browser, with the fake engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iwp.budget import keep_count
from iwp.pruners import DART, IWP, PRUNERS, FastV
from iwp.pruners.base import Pruner
from tests.browser.conftest import Visit
from tests.browser.fake import FakeEngine, FakeSession, kept_by
from tests.browser.moves import choose, drag, look, meet
from tests.browser.tokens import two_grids

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Visit]
LAYOUT = two_grids(480, 320)
N = LAYOUT.n
STATES = ("neither", "left", "right", "both")


def kept(method: Pruner, budget: float, convention: str = "cut") -> set[int]:
    """What the fake engine's method keeps."""
    session = FakeSession(LAYOUT, "", method, None, convention)
    return set(kept_by(method, session, budget))


def counts(visit: Visit) -> dict[str, int]:
    """The legend of the difference, by state."""
    entries: list[list[str]] = visit.page.evaluate(
        """[...document.querySelectorAll('.difference-legend li')].map(
            (entry) => [entry.dataset.state, entry.querySelector('b').textContent])"""
    )
    return {STATES[int(state)]: int(count.replace(",", "")) for state, count in entries}


def differing(left: set[int], right: set[int]) -> dict[str, int]:
    """The same, from Python's sets."""
    return {
        "left": len(left - right),
        "right": len(right - left),
        "both": len(left & right),
        "neither": N - len(left | right),
    }


def states(visit: Visit) -> list[int]:
    """The state of every token in the view that is shown."""
    found: list[int] = visit.view("map.states.reduce((all, state) => [...all, state], [])")
    return found


def test_every_method_stands_in_the_menus(visit: Open) -> None:
    opened = visit()
    opened.page.click("#sides button")
    offered: dict[str, list[str]] = {}
    for menu in ("left", "right"):
        opened.page.click(f"#{menu} input")
        offered[menu] = opened.page.locator(f"#{menu} [role=option]").all_inner_texts()
        opened.page.keyboard.press("Tab")
    names = [entry.replace("✓", "").strip() for entry in offered["right"]]
    assert len(names) == len(PRUNERS)
    assert names[0].startswith("IWP")
    assert "FastV (arXiv 2403.06764)" in names
    assert "Every visual token" in offered["left"][0]
    assert len(offered["left"]) == len(PRUNERS) + 1


def test_two_methods_that_redraw_while_the_budget_moves(
    visit: Open, picture: Path, pictures_folder: Path
) -> None:
    opened = meet(visit(), picture)
    n_tokens = f"{keep_count(N, 0.222):,} tokens looked at"
    assert opened.answer("baseline").startswith(n_tokens)
    assert opened.page.inner_text("#baseline label span") == "Kept by FastV"
    assert opened.page.inner_text("#pruned label span") == "Kept by IWP"
    assert "Kept by FastV" in opened.page.inner_text("#timings thead")
    assert "Layer average" in opened.page.inner_text("#timings")

    opened.quiet()
    for view, method in (("left", FastV(layer=2)), ("right", IWP(layer=2))):
        look(opened, view)
        before = opened.canvas()
        drag(opened, 0.22, 0.5)
        assert opened.canvas() != before
        at = opened.view("percent") / 100
        assert {i for i, state in enumerate(states(opened)) if state} == kept(method, at)
        drag(opened, 0.5, 0.22)
    look(opened, "difference")
    drag(opened, 0.22, 0.35)
    at = opened.view("percent") / 100
    assert counts(opened) == differing(kept(FastV(layer=2), at), kept(IWP(layer=2), at))
    assert opened.requests == []
    opened.page.locator("#token-map").screenshot(path=pictures_folder / "difference.png")

    opened.page.mouse.up()  # both sides answer again
    count = f"{keep_count(N, at):,} tokens"
    for side in ("baseline", "pruned"):
        opened.page.wait_for_function(
            "([side, n]) => document.querySelector(`#${side} textarea`).value.startsWith(n)",
            arg=[side, count],
        )
    opened.wait_for_text("#status", "Done")


def test_a_method_that_chooses_anew_redraws_on_release(
    visit: Open, picture: Path, engine: FakeEngine
) -> None:
    opened = meet(visit(), picture, left="DART")
    look(opened, "left")
    assert opened.page.inner_text(".lasting") == "DART redraws on release."
    assert opened.view("keep") == keep_count(N, 0.222)
    before = opened.canvas()
    drag(opened, 0.22, 0.5)
    at = opened.view("percent") / 100
    assert opened.canvas() == before
    assert opened.page.inner_text(".lasting").startswith("Drawn for 22.2 %: DART redraws")
    look(opened, "difference")
    assert counts(opened) == differing(kept(DART(), 0.222), kept(IWP(layer=2), 0.222))

    opened.page.mouse.up()
    opened.wait_for_text("#status", "Done")
    opened.page.wait_for_function(
        "document.querySelector('.lasting').innerText === 'DART redraws on release.'"
    )
    at = opened.view("percent") / 100
    assert engine.runs[-1] == ("repruned", at)
    assert counts(opened) == differing(kept(DART(), at), kept(IWP(layer=2), at))


def test_a_budget_as_layer_average(visit: Open, picture: Path) -> None:
    opened = visit()
    opened.page.click("#sides button")
    opened.page.click("#convention label:has-text('layer average')")
    choose(opened, "left", "DivPrune")
    opened.page.click(".presets button:text-is('50 %')")
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    assert opened.page.inner_text(".budget-name") == "Layer average"
    table = opened.page.inner_text("#timings")
    assert re.search(r"Layer average\s+50\.0 %\s+50\.0 %", table)
    look(opened, "difference")
    from_layers = [kept(PRUNERS[name](layer=layer), 0.5, "average") for name, layer in AT_AVERAGE]
    assert counts(opened) == differing(*from_layers)
    # no budget brings a cut before layer 2 of 6 below a third
    drag(opened, 0.5, 0.1)
    assert "IWP reaches no layer average below 33.4 %" in opened.page.inner_text(".summary")
    drag(opened, 0.1, 0.5)


AT_AVERAGE = (("divprune", 0), ("iwp", 2))


def test_the_keyboard_reaches_the_arena(visit: Open, picture: Path) -> None:
    opened = visit()
    page = opened.page
    page.focus("#sides button")
    page.keyboard.press("Enter")
    page.focus("#left input")
    page.wait_for_selector("#left [role=option]")
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
        page.wait_for_timeout(100)
    reached = []
    while "convention" not in reached:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.closest('[id]')?.id"))
        assert len(reached) < 6
    assert "right" in reached
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    title = page.inner_text("#baseline label span")
    assert title.startswith("Kept by ")
    tabs = page.locator("[data-choice=side] button[tabindex='0']")
    assert tabs.count() == 1
    tabs.focus()
    seen = []
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        seen.append(opened.view("side"))
        assert page.evaluate("document.activeElement.dataset.value") == seen[-1]
    assert sorted(seen) == ["difference", "left", "right"]
    while opened.view("side") != "difference":
        page.keyboard.press("v")
    page.keyboard.press("2")  # a difference has no heat map
    assert opened.view("mode") == "mask"
    page.focus(".overlay")
    page.keyboard.press("ArrowRight")
    assert "Kept by " in page.inner_text(".live")
    assert "IWP: rank" in page.inner_text(".live")


def test_one_method_alone_has_one_view(visit: Open, picture: Path) -> None:
    opened = meet(visit(), picture)
    look(opened, "difference")
    choose(opened, "left", "Every visual token")
    assert opened.page.inner_text("#baseline label span") == "Kept by FastV"  # until Compare
    opened.page.click("#compare")
    opened.wait_for_text("#baseline label span", "Every visual token")
    opened.wait_for_text("#status", "Done")
    assert opened.page.locator("[data-choice=side] button").count() == 0
    assert opened.page.is_hidden(".difference-legend")
    keep = keep_count(N, 0.222)
    assert opened.page.inner_text(".summary").startswith(f"keeps {keep:,} of {N:,}")


def test_a_phone_shows_the_arena(visit: Open, picture: Path, pictures_folder: Path) -> None:
    phone: dict[str, Any] = {"width": 390, "height": 844}
    opened = visit(viewport=phone, device_scale_factor=2, has_touch=True, is_mobile=True)
    meet(opened, picture, "PyramidDrop", "CDPruner")
    look(opened, "difference")
    opened.page.wait_for_timeout(200)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    opened.page.screenshot(path=pictures_folder / "phone-arena.png", full_page=True)


def test_a_forged_entry_is_answered_with_a_sentence(visit: Open, picture: Path) -> None:
    opened = visit()

    def forge(route: Any) -> None:
        body = route.request.post_data or ""
        route.continue_(post_data=body.replace('"iwp"', '"__class__"'))

    opened.page.route("**/queue/join*", forge)
    opened.compare(picture, "What is it?")
    toast = opened.page.wait_for_selector(".toast-body")
    assert toast is not None
    assert "There is no method '__class__'; choose one of iwp" in toast.inner_text()
    opened.page.unroute("**/queue/join*")
    opened.page.click("#compare")
    opened.wait_for_text("#status", "Done")
