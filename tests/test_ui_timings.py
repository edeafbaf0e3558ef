"""The table of measurements and the status line."""

from __future__ import annotations

from dataclasses import replace

from iwp.types import Answer, Timing
from iwp.ui import timings
from iwp.ui.timings import Column

BASELINE = Answer(
    answer="7Q",
    n_tokens=3,
    visual_tokens=1000,
    timing=Timing(0.2, 0.0, 0.4, 0.61, 0.02, 0.65),
    kv_bytes=12_000_000,
    peak_bytes=None,
    finish="eos",
)
PRUNED = replace(
    BASELINE,
    visual_tokens=222,
    timing=Timing(0.2, 0.01, 0.1, 0.31, 0.01, 0.33),
    kv_bytes=3_000_000,
)


N = 1000


def render(left: Answer | None, right: Answer | None) -> str:
    return timings.render(Column("Every visual token", left), Column("Kept by IWP", right), N)


def test_every_measurement_and_its_ratio() -> None:
    html = render(BASELINE, PRUNED)
    assert "1,000 of 1,000" in html
    assert "222 of 1,000" in html
    prefill = html.split("Prefill")[1].split("</tr>")[0]
    assert "400.0 ms" in prefill
    assert "100.0 ms" in prefill
    assert "4.0×" in prefill  # noqa: RUF001 - the sign on the page
    for label in ("Encoding", "Selection", "First token", "Per further token", "Total"):
        assert label in html
    assert "12.00 MB" in html


def test_encoding_is_shared_and_gets_no_ratio() -> None:
    row = render(BASELINE, PRUNED).split("Encoding")[1].split("</tr>")[0]
    assert row.count("200.0 ms") == 2
    assert "×" not in row  # noqa: RUF001


def test_device_memory_only_where_it_was_measured() -> None:
    assert "Peak device memory" not in render(BASELINE, PRUNED)
    measured = render(replace(BASELINE, peak_bytes=10**9), PRUNED)
    assert "1,000 MB" in measured


def test_one_side_alone_leaves_dashes() -> None:
    html = render(BASELINE, None)
    assert "1,000 of 1,000" in html
    assert "–" in html  # noqa: RUF001
    assert render(None, None) == ""


def test_an_answer_cut_short_says_why() -> None:
    assert "finish" not in render(BASELINE, PRUNED)
    html = render(replace(BASELINE, finish="deadline"), replace(PRUNED, finish="stopped"))
    assert "Every visual token: stopped at the time limit, press Compare" in html
    assert "Kept by IWP: stopped by you." in html


def test_an_answer_cut_short_has_no_ratio_of_totals() -> None:
    def total(baseline: Answer) -> str:
        return render(baseline, PRUNED).split("Total")[1].split("</tr>")[0]

    assert "2.0×" in total(BASELINE)  # noqa: RUF001
    cut = replace(BASELINE, finish="deadline")
    assert "×" not in total(cut)  # noqa: RUF001
    assert "press Compare" in render(cut, PRUNED)


def test_nothing_measured_is_not_zero() -> None:
    none = replace(PRUNED, timing=replace(PRUNED.timing, per_token_s=0.0))
    row = render(BASELINE, none).split("Per further token")[1].split("</tr>")[0]
    assert "0.0 ms" not in row.replace("20.0 ms", "")


def test_status_is_escaped() -> None:
    assert "<b>" not in timings.status("<b>x</b>", busy=True)
    assert timings.status("") == ""


def test_both_ways_of_telling_a_budget_stand_in_the_table() -> None:
    assert "Kept at the cut" not in render(BASELINE, PRUNED)
    fast, iwp = Column("Kept by FastV", PRUNED, 0.222, 0.481), Column("Kept by IWP", PRUNED)
    html = timings.render(fast, iwp, N)
    row = html.split("Layer average")[1].split("</tr>")[0]
    assert "48.1 %" in row
    assert row.count("–") == 2  # noqa: RUF001 - not known yet, and no ratio
    html = timings.render(fast, Column("Kept by IWP", PRUNED, 0.111, 0.37), N)
    row = html.split("Kept at the cut")[1].split("</tr>")[0]
    assert ("22.2 %" in row, "11.1 %" in row, "2.0×" in row) == (True, True, True)  # noqa: RUF001
    assert html.index("Kept by FastV") < html.index("Kept by IWP")
