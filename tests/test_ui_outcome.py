"""What the page says of two whole answers."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from iwp.results import Fidelity, Odds, RunResult
from iwp.types import Answer, Timing, VisualLayout
from iwp.ui import outcome, text

TITLES = ("Every visual token", "Kept by IWP")
LEFT = Answer("a red star", 3, 1000, Timing(0.2, 0, 0.4, 0.61, 0.02, 0.65), 1, None, "eos")
RIGHT = replace(LEFT, visual_tokens=222, timing=Timing(0.2, 0.01, 0.1, 0.31, 0.01, 0.325))
RESULT = RunResult(
    baseline=LEFT,
    pruned=RIGHT,
    n_visual=1000,
    budget=0.222,
    kept=(1,),
    ranks=(0,),
    layout=VisualLayout(1000, 10, 10, ()),
    method="IWP()",
    model="demo",
    device="cpu",
    attention="sdpa",
    fidelity=Fidelity(0.038, None, 0.0031, True),
)
OTHER = replace(
    RESULT,
    pruned=replace(RIGHT, answer="a <blue> star"),
    fidelity=replace(RESULT.fidelity, same_answer=False),
)


def render(result: RunResult) -> str:
    return outcome.render(result, TITLES)


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_the_same_answer_has_a_badge_and_no_difference() -> None:
    html = render(RESULT)
    assert text.ANSWERS[True] in html
    assert "<del>" not in html
    assert html.count("Same answer") == 1


def test_a_difference_is_told_in_words_and_strokes_and_escaped() -> None:
    html = render(OTHER)
    assert text.ANSWERS[False] in html
    shown = html.split('class="difference"')[1].split("</p>")[0]
    assert "only on the left: </span>red</del>" in shown
    assert "only on the right: </span>&lt;blue&gt;</ins>" in shown
    assert "<blue>" not in html


@pytest.mark.parametrize("finish", ["stopped", "deadline"])
def test_an_answer_cut_short_is_not_compared(finish: str) -> None:
    cut = replace(OTHER, pruned=replace(RIGHT, finish=finish))  # type: ignore[arg-type]
    html = render(replace(cut, fidelity=replace(RESULT.fidelity, same_answer=None)))
    assert text.ANSWERS[None] in html
    assert not any(word in html for word in ("<del>", "faster", "slower"))


def test_the_speed_up_and_its_parts() -> None:
    said = plain(render(RESULT))
    assert "2.0× faster: 650.0 ms to 325.0 ms" in said  # noqa: RUF001 - the sign on the page
    assert "Encoding 200.0 ms, done once and counted on both sides" in said
    assert "Prefill 400.0 ms to 100.0 ms, 4.0×" in said  # noqa: RUF001
    assert "Decoding 50.0 ms to 25.0 ms, 2.0× (3 and 3 tokens)" in said  # noqa: RUF001
    widths = [float(found) for found in re.findall(r"width:([\d.]+)%", render(RESULT))]
    assert sum(widths[:3]) == pytest.approx(100, abs=0.1)
    assert sum(widths[3:6]) == pytest.approx(50, abs=0.1)


@pytest.mark.parametrize(
    ("total", "words"),
    [(1.3, "2.0× slower"), (0.66, "As fast")],  # noqa: RUF001
)
def test_no_speed_up_is_said_too(total: float, words: str) -> None:
    slow = replace(RIGHT, timing=replace(RIGHT.timing, total_s=total))
    assert words in plain(render(replace(RESULT, pruned=slow)))


def test_the_first_token_is_a_table_of_both_sides() -> None:
    assert "odds" not in render(RESULT)
    odds = (Odds(" red\n", 0.625, 0.25), Odds("<|im_end|>", 0.1, 0.5))
    html = render(replace(RESULT, first_token=odds))
    table = html.split('class="odds"')[1].split("</table>")[0]
    assert "Token Every visual token Kept by IWP" in plain(table)
    assert "&quot; red\\n&quot;" in table
    assert "&lt;|im_end|&gt;" in table
    assert re.findall(r"[\d.]+ %", table) == [
        *("62.5 %", "25.0 %"),
        *("10.0 %", "50.0 %"),
    ]


def test_losses_follow_once_they_are_known() -> None:
    assert "96.2 %" in render(RESULT)
    assert "Attention output" not in render(RESULT)
    unknown = replace(RESULT, fidelity=Fidelity(None, None, None, True))
    assert "fidelity" not in render(unknown)


def test_a_warning_stands_above_everything() -> None:
    assert "note" not in render(RESULT)
    html = render(replace(RESULT, warning="Wide <keys>."))
    assert '<p class="note">Wide &lt;keys&gt;.</p>' in html
    assert html.index("Wide") < html.index("badge")
