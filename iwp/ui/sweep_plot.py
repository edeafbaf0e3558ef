"""A sweep as a drawing: what is kept of the answer, of the weight and of the time, by budget."""

from __future__ import annotations

from html import escape
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

from iwp.ui import text

if TYPE_CHECKING:
    from iwp.results import Sweep, SweepPoint

_WIDTH, _HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 10, 38  # margins; what they leave is the drawing
_MARK: Final = 4.5  # half a mark's width


class _Series(NamedTuple):
    """One line of the plot: shares of 1, from 100 % of the tokens down."""

    kind: str
    name: str
    values: list[float]


def series(found: Sweep) -> list[_Series]:
    """The lines that can be drawn: each has a value at every answered budget."""
    points = found.points
    losses = [point.fidelity.dual_weight_error for point in points]
    weights = [max(0.0, 1 - loss) for loss in losses if loss is not None]
    whole = points[0].answer.timing.first_token_s or 1.0
    drawn = [
        _Series("words", text.PLOT_WORDS, [point.agreement for point in points]),
        _Series("weight", text.PLOT_WEIGHT, weights),
        _Series("time", text.PLOT_TIME, [_time(point) / whole for point in points]),
    ]
    return [line for line in drawn if len(line.values) == len(points)]


def plot(found: Sweep) -> str:
    """The drawing as SVG with a legend; a text alternative says where the lines go."""
    lines = series(found)
    top = max(1.0, *(ceil(4 * max(line.values)) / 4 for line in lines))
    grid = "".join(_grid_line(share, top) for share in (0.0, 0.5, 1.0))
    ticks = "".join(
        f'<text class="tick" x="{_x(slot, found.planned):.1f}" y="{_HEIGHT - 20}" '
        f'text-anchor="middle">{100 * point.budget:g}</text>'
        for slot, point in enumerate(found.points)
    )
    axis = (
        f'<text class="tick" x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 4}" '
        f'text-anchor="middle">{text.PLOT_AXIS}</text>'
    )
    drawn = "".join(_line(line, top, found.planned) for line in lines)
    legend = "".join(
        f'<li><svg viewBox="0 0 30 12" class="{line.kind}" aria-hidden="true">'
        f'<path class="line" d="M1 6H29"/><path class="mark" d="{_mark(line.kind, 15, 6)}"/></svg>'
        f"{escape(line.name)}</li>"
        for line in lines
    )
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'aria-label="{escape(_told(found, lines))}">{grid}{ticks}{axis}{drawn}</svg>'
        f'<ul class="plot-legend">{legend}</ul>'
    )


def _told(found: Sweep, lines: list[_Series]) -> str:
    """The drawing in words."""
    budgets = text.FROM_TO.format("100 %", f"{100 * found.points[-1].budget:g} %")
    ways = (
        f"{line.name} {text.FROM_TO.format('100 %', f'{100 * line.values[-1]:.0f} %')}"
        for line in lines
    )
    return text.PLOT_TOLD.format(budgets, ", ".join(ways))


def _time(point: SweepPoint) -> float:
    return point.answer.timing.first_token_s


def _x(slot: int, planned: int) -> float:
    """Where a budget stands: the first one, 100 %, on the right."""
    return _WIDTH - _RIGHT - slot * (_WIDTH - _LEFT - _RIGHT - 12) / max(1, planned - 1)


def _y(share: float, top: float) -> float:
    return _TOP + (1 - share / top) * (_HEIGHT - _TOP - _BOTTOM)


def _grid_line(share: float, top: float) -> str:
    y = _y(share, top)
    return (
        f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/><text class="tick" '
        f'x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{100 * share:.0f} %</text>'
    )


def _line(line: _Series, top: float, planned: int) -> str:
    places = [(_x(slot, planned), _y(value, top)) for slot, value in enumerate(line.values)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    marks = "".join(f'<path class="mark" d="{_mark(line.kind, x, y)}"/>' for x, y in places)
    return f'<g class="{line.kind}"><path class="line" d="M{path}"/>{marks}</g>'


def _mark(kind: str, x: float, y: float) -> str:
    """Another shape for each line, so that none is told by its colour alone."""
    m = _MARK
    if kind == "words":  # a circle
        return f"M{x - m:.1f} {y:.1f}a{m} {m} 0 1 0 {2 * m} 0a{m} {m} 0 1 0 {-2 * m} 0"
    if kind == "weight":  # a square
        return f"M{x - m + 0.5:.1f} {y - m + 0.5:.1f}h{2 * m - 1}v{2 * m - 1}h{1 - 2 * m}z"
    return f"M{x:.1f} {y - m:.1f}l{m} {2 * m - 1}h{-2 * m}z"  # a triangle
