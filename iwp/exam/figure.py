"""Accuracy against budget: one small plot a method, each beside IWP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iwp.bench import output
from iwp.exam.entries import FULL
from iwp.exam.results import REFERENCE, Row

_ACROSS = 5
_IWP, _OTHER = "#0072b2", "#d55e00"  # apart for every kind of colour vision


def draw(path: Path, rows: Sequence[Row], title: str) -> None:
    """Write the plot; `rows` are those of `results.rows`.

    Raises:
        InputError: matplotlib is not installed.
    """
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(row["method"], []).append(row)
    every = lines.pop(FULL, [])
    mine = lines.pop(REFERENCE, [])
    down = max(1, math.ceil(len(lines) / _ACROSS))
    figure = output.new_figure(2.5 * _ACROSS, 2.3 * down + 0.8)
    grid = figure.subplots(down, _ACROSS, sharey=True, squeeze=False)
    panels = [axes for line in grid for axes in line]
    for axes in panels[max(1, len(lines)) :]:
        axes.set_visible(False)
    ordered = sorted(lines.items(), key=lambda both: -sum(row["accuracy"] for row in both[1]))
    ticks = sorted({100 * row["budget"] for row in rows if row["budget"]})
    for axes, (method, its) in zip(panels, ordered or [(REFERENCE, [])], strict=False):
        for row in every:
            axes.axhline(100 * row["accuracy"], color="0.4", ls=":", lw=1, label="every token")
        _line(axes, mine, _IWP, "IWP")
        _line(axes, its, _OTHER, "the method named above")
        axes.set_title(method, fontsize=10)
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks], fontsize=7)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.supxlabel(title, fontsize=9)
    figure.supylabel("exact answers, %", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, fontsize=9, frameon=False)
    figure.savefig(path, dpi=130)


def _line(axes: Any, rows: Sequence[Row], color: str, label: str) -> None:
    ordered = sorted((row for row in rows if row["budget"]), key=lambda row: row["budget"])
    if not ordered:
        return
    middle = [100 * row["accuracy"] for row in ordered]
    below = [100 * (row["accuracy"] - row["low"]) for row in ordered]
    above = [100 * (row["high"] - row["accuracy"]) for row in ordered]
    axes.errorbar(
        [100 * row["budget"] for row in ordered],
        middle,
        yerr=[below, above],
        color=color,
        label=label,
        marker="o",
        markersize=3.5,
        linewidth=1.4,
        capsize=2,
    )
