"""How choosing and reading grow with the visual tokens, up to those of a long video.

`python -m iwp bench growth --random qwen2.5-vl-7b`

Made-up visual tokens, twice as many each time; no tower runs. Times come from the prefill itself,
baseline and method in turns; above --prefill-tokens the choice alone is measured, among the same
rows as if they had reached the layer of the cut: what it takes depends on shapes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch

from iwp import measure
from iwp.adapters.base import VLM
from iwp.bench import environment, memory, output, prompts, subject
from iwp.bench.turns import Measured, measured
from iwp.budget import check_budget
from iwp.errors import InputError
from iwp.parser import Parser
from iwp.pruners import LayerView, Pruner
from iwp.trunk import Trunk

LEAST, MOST = 256, 64_000
"""Visual tokens of the shortest and of the longest prompt."""

_NEW_TOKENS = 2  # the fewest that can be timed
_SERIES = {
    "selection": "selection_s",
    "prefill, every token": "full_s",
    "prefill, pruned": "pruned_s",
    "memory of the selection": "selection_bytes",
    "memory of the prefill, every token": "full_bytes",
    "memory of the prefill, pruned": "pruned_bytes",
}


@dataclass(frozen=True)
class Point:
    """One length.

    Attributes:
        n: visual tokens.
        kept: those that the method keeps.
        selection_s: choosing, projections included.
        selection_bytes: the most that choosing alone held at once, projections included.
        full: the prefill of every token; None where it was not measured.
        pruned: the method's; None as well.
    """

    n: int
    kept: int
    selection_s: float
    selection_bytes: int
    full: Measured | None = None
    pruned: Measured | None = None

    @property
    def values(self) -> dict[str, float]:
        """Seconds and bytes, those that were measured, by the names of a CSV's columns."""
        found: dict[str, float] = {"selection_s": self.selection_s}
        found["selection_bytes"] = self.selection_bytes
        for name, side in (("full", self.full), ("pruned", self.pruned)):
            if side is not None:
                found[f"{name}_s"] = side.parts["prefill"].median
                found[f"{name}_bytes"] = side.held_bytes
        return found


def lengths(most: int) -> list[int]:
    """Visual tokens from `LEAST` on, doubled while they stay below `most`, and `most` itself."""
    doublings = range(math.ceil(math.log2(most / LEAST)))
    return [*(LEAST * 2**number for number in doublings), most]


def points(
    vlm: VLM, method: Pruner, counts: Sequence[int], repeats: int, prefill_tokens: int = MOST
) -> Iterator[Point]:
    """Measure at these numbers of visual tokens; ends where the device has no memory for more.

    Above `prefill_tokens` no prompt is read, only chosen from.
    """
    for n in counts:
        asked = prompts.made_up(vlm, n)
        try:
            if n > prefill_tokens:
                yield _chosen_alone(vlm, asked, method, repeats)
                continue
            full, pruned = measured(vlm, asked, [None, method], _NEW_TOKENS, repeats)
            seconds = pruned.parts["selection"].median
            held = _selection_bytes(vlm, method, _view(vlm, asked, method))
            yield Point(n, pruned.kept, seconds, held, full, pruned)
        except torch.OutOfMemoryError:
            print(f"{n:,} tokens do not fit on {vlm.device}: the table ends before them.")
            return


def exponent(found: Sequence[tuple[float, float]]) -> float:
    """The p of y = c n^p that fits the larger half of points (n, y) best, by their logarithms.

    The smaller half is left out, where what does not depend on n weighs most. NaN below two points.
    """
    some = _larger_half(found)
    if len(some) < 2:
        return math.nan
    x, y = ([math.log(one) for one in axis] for axis in zip(*some, strict=True))
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    rise = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return rise / sum((a - middle_x) ** 2 for a in x)


def main(argv: list[str]) -> int:
    """Measure, print table and exponents, and write CSV, Markdown and plot."""
    args = _parse(argv)
    if args.max_tokens < LEAST:
        raise InputError(f"--max-tokens is at least {LEAST}, not {args.max_tokens}.")
    budget = check_budget(args.budget)
    folder = output.folder(args.out)
    found: list[Point] = []
    with subject.opened(args) as vlm:
        (method,) = subject.methods(vlm, [args.method], [budget], args.layer)
        words = environment.described(vlm)
        print(environment.sentence(words), flush=True)
        if method.looks_back and args.prefill_tokens < args.max_tokens:
            raise InputError(f"{args.method} looks back: give it a prefill at every length.")
        counts = lengths(args.max_tokens)
        for point in points(vlm, method, counts, args.repeats, args.prefill_tokens):
            print(f"{point.n:,} tokens: measured", flush=True)
            found.append(point)
        if not found:
            raise InputError(f"Not even {LEAST} tokens fit on {vlm.device}: shorten the model.")
        subject.report(args, argv, vlm, "growth", _text(found, method, args.repeats))
    rows = [{"visual_tokens": point.n, **point.values, **words} for point in found]
    output.write_csv(folder / "growth.csv", rows)
    panels = {
        "ms": {name: _series(found, key, 1e3) for name, key in _SERIES.items() if key[-2:] == "_s"},
        "MB": {
            name: _series(found, key, 1e-6) for name, key in _SERIES.items() if key[-2:] != "_s"
        },
    }
    output.powers(folder / "growth.png", "visual tokens", panels)
    return 0


def _larger_half(found: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return sorted(found)[len(found) // 2 if len(found) > 3 else 0 :]


@torch.no_grad()
def _chosen_alone(vlm: VLM, asked: prompts.Asked, method: Pruner, repeats: int) -> Point:
    taken: list[float] = []
    for _ in range(repeats + 1):  # the first one warms up
        view = _view(vlm, asked, method, read=False)
        watch = measure.Stopwatch(vlm.device)
        kept = len(method.choose(view).kept)
        taken.append(watch.seconds())
    held = _selection_bytes(vlm, method, _view(vlm, asked, method, read=False))
    return Point(asked.n, kept, median(taken[1:]), held)


def _view(vlm: VLM, asked: prompts.Asked, method: Pruner, *, read: bool = True) -> LayerView:
    """What the method chooses by, after the layers before the cut or, as if, without them."""
    inputs = asked.read().inputs
    if read:
        return Trunk(vlm.model, layer=method.layer, **inputs).view(method)
    view = Trunk(vlm.model, layer=0, **inputs).view(replace(method, layer=0))
    return replace(view, layer=vlm.adapter.decoder_layers[method.layer])


def _selection_bytes(vlm: VLM, method: Pruner, view: LayerView) -> int:
    def choose() -> None:
        with torch.no_grad():
            method.choose(view)

    return memory.peak_bytes(measure.gpus_of(vlm.model), choose)


def _series(found: Sequence[Point], column: str, scale: float = 1.0) -> list[tuple[float, float]]:
    values = ((point.n, point.values.get(column)) for point in found)
    return [(float(n), scale * value) for n, value in values if value is not None]


def _text(found: Sequence[Point], method: Pruner, repeats: int) -> str:
    fitted = {name: exponent(_series(found, key)) for name, key in _SERIES.items()}
    powers = [f"{name} {power:.2f}" for name, power in fitted.items() if not math.isnan(power)]
    return (
        f"{output.markdown([_shown(point) for point in found])}\n\n"
        f"{method.name} keeps {100 * float(method.budget):.3g} % before layer {method.layer}; "
        f"medians of {repeats} turns. Memory is beyond the weights. Exponents p of y = c N^p, "
        f"fitted to the logarithms of each column's larger half: {', '.join(powers)}."
    )


def _shown(point: Point) -> dict[str, Any]:
    values = point.values
    row: dict[str, Any] = {"tokens": f"{point.n:,}", "kept": f"{point.kept:,}"}
    for name, key in _SERIES.items():
        scale, unit = (1e3, "ms") if key.endswith("_s") else (1e-6, "MB")
        row[f"{name}, {unit}"] = output.brief(scale * values[key]) if key in values else "-"
    read = point.pruned
    row["prefill, x"] = f"{read.prefill_speedup:.2f}" if read else "-"
    share = values["selection_s"] / values["pruned_s"] if read else None
    row["selection of pruned prefill"] = "-" if share is None else f"{share:.0%}"
    return row


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m iwp bench growth", description=__doc__)
    subject.add(parser)
    parser.add_argument("--max-tokens", type=int, default=MOST, help="of the longest prompt")
    parser.add_argument(
        "--prefill-tokens", type=int, default=MOST, help="longest prompt that is read, not only cut"
    )
    parser.add_argument("--method", default="iwp", help="a name that `methods` lists")
    parser.add_argument("--budget", default="0.111", help="fraction to keep")
    return parser.parse_args(argv)
