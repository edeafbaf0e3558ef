"""Rows to CSV and Markdown, figures to PNG."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iwp.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TICKS = (1, 2, 5, 10, 20, 50, 100)  # percent
_MARKERS = "os^Dv*"

Row = Mapping[str, Any]
Lines = Mapping[str, Sequence[tuple[float, float]]]


def folder(path: Path) -> Path:
    """The folder, made if need be.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {path} cannot be made: {error.strerror}.") from None
    return path


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Every row's keys as columns, in the order of their first appearance."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns(rows))
        writer.writeheader()
        writer.writerows(rows)


def columns(rows: Sequence[Row]) -> list[str]:
    """Keys of all rows, in the order of their first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table; shares of 1 as percent, what a row lacks as a dash."""
    names = columns(rows)
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f}" if isinstance(value, float) else str(value)


def brief(value: float) -> str:
    """A positive number for people: three digits or all before the point, never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, drawn without a display.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("Plots need matplotlib: pip install matplotlib.") from None
    return Figure(figsize=(width, height), layout="constrained")


def bars(
    path: Path, title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]]
) -> None:
    """Horizontal bars, one group a label and one bar a series, shares of 1 shown as percent."""
    figure = new_figure(8, 1.2 + 0.16 * len(labels) * (len(series) + 1))
    axes = figure.add_subplot(title=title, xlabel="exact answers, %")
    thick = 0.85 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = [row + number * thick for row in range(len(labels))]
        drawn = axes.barh(places, [100 * v for v in values], height=thick * 0.95, label=name)
        axes.bar_label(drawn, fmt="%.1f", padding=2, fontsize=7)
    axes.set_yticks([row + 0.425 - thick / 2 for row in range(len(labels))], list(labels))
    axes.invert_yaxis()
    axes.set_xlim(0, 108)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=130)


def curves(path: Path, x: str, y: str, lines: Lines) -> None:
    """Lines through points (x, y), shares of 1 shown as percent; x is logarithmic."""
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot(xlabel=x, ylabel=y, xscale="log")
    for (name, points), marker in zip(lines.items(), _MARKERS, strict=False):
        ordered = sorted(points)
        axes.plot(
            [100 * a for a, _ in ordered], [100 * b for _, b in ordered], marker=marker, label=name
        )
    axes.set_xticks(_TICKS, [str(tick) for tick in _TICKS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=130)


def stacked(
    path: Path, title: str, labels: Sequence[str], parts: Mapping[str, Sequence[float]], unit: str
) -> None:
    """Horizontal bars made of parts, one bar a label, with their sums in this unit."""
    figure = new_figure(8, 1.4 + 0.3 * len(labels))
    axes = figure.add_subplot(title=title, xlabel=unit)
    begin = [0.0] * len(labels)
    for name, values in parts.items():
        drawn = axes.barh(range(len(labels)), values, left=begin, height=0.7, label=name)
        begin = [a + b for a, b in zip(begin, values, strict=True)]
    axes.bar_label(drawn, [brief(total) for total in begin], padding=2, fontsize=7)
    axes.set_yticks(range(len(labels)), list(labels))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(begin))
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=130)


def powers(path: Path, x: str, panels: Mapping[str, Lines]) -> None:
    """Lines through points (x, y) on logarithmic axes, one panel a unit of y side by side."""
    figure = new_figure(5.4 * len(panels), 4.2)
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (y, lines) in zip(every, panels.items(), strict=True):
        for (name, points), marker in zip(lines.items(), _MARKERS, strict=False):
            axes.plot(*zip(*points, strict=True), marker=marker, label=name)
        axes.set(xlabel=x, ylabel=y, xscale="log", yscale="log")
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left", fontsize=8)
    figure.savefig(path, dpi=130)


def matrices(path: Path, panels: Mapping[str, Any], label: str, *, numbers: bool = False) -> None:
    """Square matrices with values in [0, 1] side by side, under one colour scale."""
    figure = new_figure(4.6 * len(panels) + 0.8, 4.4)
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, matrix) in zip(every, panels.items(), strict=True):
        axes.imshow(matrix, vmin=0, vmax=1, cmap="cividis")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(label)
        axes.set_ylabel(label)
        if numbers:
            for row, line in enumerate(matrix):
                for col, value in enumerate(line):
                    shade = "black" if value > 0.6 else "white"
                    axes.text(
                        col, row, f"{value:.2f}", ha="center", va="center", color=shade, size=7
                    )
    figure.colorbar(every[0].images[0], ax=list(every), shrink=0.85)
    figure.savefig(path, dpi=130)
