"""Results as JSON and as a table."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from iwp import report
from iwp.pruners import IWP, VisionZip
from iwp.results import Contender, Fidelity, Odds, RunResult
from iwp.types import Answer, Timing, TokenGrid, VisualLayout

TIMING = Timing(0.5, 0.0, 0.25, 0.75, 0.0, 1.5)
BASELINE = Answer("red", 3, 1000, TIMING, 2_500_000, None, "eos")
PRUNED = replace(
    BASELINE, answer="blue", visual_tokens=222, timing=replace(TIMING, selection_s=0.002)
)
RESULT = RunResult(
    baseline=BASELINE,
    pruned=PRUNED,
    n_visual=1000,
    budget=0.222,
    kept=(1, 3),
    ranks=(2, 0, 3, 1),
    layout=VisualLayout(1000, 10, 10, ()),
    method="IWP(budget=0.222)",
    model="demo",
    device="cpu",
    attention="sdpa",
    fidelity=Fidelity(0.038, 0.1, 0.0031, False),
    kept_share=0.222,
    layer_average=0.3331,
)
AGAINST = replace(
    RESULT,
    convention="average",
    rival=Contender("VisionZip(budget=0.3, layer=0)", (0, 2), (0, 2, 1, 3), 0.3, 0.2987),
)


def test_json_has_the_promised_keys_and_survives_a_round_trip() -> None:
    content = report.to_json(RESULT)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert set(content) == {
        *("baseline", "pruned", "n_visual", "budget", "kept", "ranks"),
        *("model", "device", "attention", "method"),
        *("fidelity", "exponent", "warning"),
        *("convention", "kept_share", "layer_average", "rival", "frames"),
        *("first_token", "temperature"),
    }
    assert content["kept"] == [1, 3]
    assert content["pruned"]["answer"] == "blue"
    assert content["pruned"]["timing"]["selection_s"] == 0.002
    assert content["baseline"]["peak_bytes"] is None
    assert content["fidelity"]["dual_weight_error"] == 0.038
    assert (content["kept_share"], content["layer_average"]) == (0.222, 0.3331)
    assert content["rival"] is None
    assert content["frames"] is None


def test_json_holds_the_first_token_of_both_sides() -> None:
    content = report.to_json(replace(RESULT, first_token=(Odds(" red", 0.75, 0.5),)))
    assert content["first_token"] == [{"token": " red", "baseline": 0.75, "pruned": 0.5}]


def test_json_holds_the_rival() -> None:
    content = report.to_json(AGAINST)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["convention"] == "average"
    assert content["rival"] == {
        "method": "VisionZip(budget=0.3, layer=0)",
        "kept": [0, 2],
        "ranks": [0, 2, 1, 3],
        "kept_share": 0.3,
        "layer_average": 0.2987,
    }


def test_json_tells_what_every_frame_has() -> None:
    grids = tuple(TokenGrid(f"f{i}", "", 1, 2, 2 * i, (), frame=2 * i) for i in range(2))
    layout = VisualLayout(4, 10, 10, grids)
    content = report.to_json(replace(RESULT, layout=layout, times=(0.0, 0.5, 1.5)))
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert "times" not in content
    assert content["frames"] == [
        {"times": [0.0, 0.5], "first_token": 0, "tokens": 2, "kept": 1},
        {"times": [1.5], "first_token": 2, "tokens": 2, "kept": 1},
    ]
    assert "kept" not in report.frames(layout, (0.0, 0.5, 1.5))[0]  # type: ignore[index]
    told = "frames: 3, the last at 1.50 s; tokens kept of each: 1 1\n"
    assert told in report.table(replace(RESULT, layout=layout, times=(0.0, 0.5, 1.5)), IWP())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_never_holds_a_number_that_is_not_finite(value: float) -> None:
    timing = replace(TIMING, per_token_s=value)
    content = report.to_json(replace(RESULT, baseline=replace(BASELINE, timing=timing)))
    assert content["baseline"]["timing"]["per_token_s"] is None


def test_rows_leave_out_what_was_measured_on_neither_side() -> None:
    found = {label: (left, right) for label, left, right in report.rows(RESULT)}
    assert found["Visual tokens"] == ("1,000 of 1,000", "222 of 1,000")
    assert found["Kept at the cut"] == ("100.0 %", "22.2 %")
    assert found["Layer average"] == ("100.0 %", "33.3 %")
    assert found["Token selection"] == ("-", "2.0 ms")
    assert found["Total"] == ("1.50 s", "1.50 s")
    assert found["KV cache"] == ("2.50 MB", "2.50 MB")
    assert "Peak device memory" not in found
    assert "Each further token" not in found


def test_peak_memory_is_shown_where_it_was_measured() -> None:
    result = replace(RESULT, baseline=replace(BASELINE, peak_bytes=17_800_000_000))
    assert ("Peak device memory", "17,800 MB", "-") in report.rows(result)


def test_table_names_answers_model_and_method() -> None:
    text = report.table(RESULT, IWP(budget=0.222))
    assert "Every visual token: red" in text
    assert "Kept tokens only:   blue" in text
    asked = "asked for kept at the cut 22.2 %"
    assert f"demo on cpu, sdpa attention, {asked}, IWP()" in text
    assert "same answer: no, dual weight kept: 96.2 %" in text
    assert "try bandwidth" not in text
    warned = report.table(
        replace(RESULT, warning='Keys are far apart: try bandwidth="median".'), IWP()
    )
    assert "try bandwidth" in warned


def test_table_names_two_methods() -> None:
    text = report.table(AGAINST, IWP(0.222, bandwidth="median"), VisionZip(0.3, layer=2))
    assert "Left, VisionZip: red" in text
    assert "Right, IWP:      blue" in text
    methods = "IWP(bandwidth='median') against VisionZip(layer=2)"
    assert text.endswith(f"asked for layer average 22.2 %, {methods}")
    found = {label: (left, right) for label, left, right in report.rows(AGAINST)}
    assert found["Kept at the cut"] == ("30.0 %", "22.2 %")
    assert found["Layer average"] == ("29.9 %", "33.3 %")


def test_a_budget_that_was_found_was_not_asked_for() -> None:
    text = report.table(replace(RESULT, budget=0.19964), IWP("auto", tolerance=0.1))
    assert text.endswith(", budget found: kept at the cut 20.0 %, IWP(tolerance=0.1)")


def test_shares_that_nobody_knows_are_left_open() -> None:
    late = report.rows(replace(RESULT, kept_share=None, layer_average=None))
    assert ("Kept at the cut", "100.0 %", "-") in late
    assert ("Layer average", "100.0 %", "-") in late


def test_fidelity_leaves_out_what_was_not_measured() -> None:
    found = dict(report.fidelity(Fidelity(None, None, None, None)))
    assert found == {}
    found = dict(report.fidelity(Fidelity(0.038, 1.2, 3e-6, True)))
    assert found == {
        "Same answer": "yes",
        "Dual weight kept": "96.2 %",
        "Attention output kept": "0.0 %",
        "First-token KL": "3.0e-06",
    }
