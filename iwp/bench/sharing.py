"""What a row of budgets gains by sharing: the picture encoded once, the first layers read once.

`python -m iwp bench sharing --random llava-onevision-7b`

Every token and each budget, answered to the end of the prefill: apart, each from the picture on,
and together, as a sweep does it. Both take turns,
every second time in the opposite order.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import median

from iwp import generate, measure
from iwp.adapters.base import VLM
from iwp.bench import environment, output, prompts, subject
from iwp.bench.prompts import Asked
from iwp.bench.turns import Spread
from iwp.budget import check_budget
from iwp.parser import Parser
from iwp.pruners import Pruner
from iwp.trunk import Trunk

_NOTE = (
    "{n:,} visual tokens; every token and {budgets} by {method}, cut before layer {layer} of "
    "{layers}. Median (quartiles) of {repeats} turns, to the end of the prefill. x: times faster "
    "together, the median over turns."
)


def apart(vlm: VLM, asked: Asked, methods: Sequence[Pruner | None]) -> float:
    """Seconds of all methods, each with an encoding and all layers of its own."""
    watch = measure.Stopwatch(vlm.device)
    for method in methods:
        generate.prefill(vlm.model, **asked.read().inputs, pruner=method)
    return watch.seconds()


def together(vlm: VLM, asked: Asked, methods: Sequence[Pruner | None], layer: int) -> float:
    """Seconds of all methods after one encoding and one reading of the layers before `layer`."""
    watch = measure.Stopwatch(vlm.device)
    trunk = Trunk(vlm.model, layer=layer, **asked.read().inputs)
    for method in methods:
        trunk.prefill(method)
    return watch.seconds()


def turn(
    vlm: VLM, asked: Asked, methods: Sequence[Pruner | None], layer: int, number: int
) -> tuple[float, float]:
    """Seconds apart and together; every second turn begins with the latter."""
    if number % 2:
        alone = apart(vlm, asked, methods)
        return alone, together(vlm, asked, methods, layer)
    shared = together(vlm, asked, methods, layer)
    return apart(vlm, asked, methods), shared


def main(argv: list[str]) -> int:
    """Measure, print the table, and write CSV and Markdown."""
    args = _parse(argv)
    budgets = [check_budget(word) for word in args.budgets.split(",")]
    folder = output.folder(args.out)
    with subject.opened(args) as vlm:
        cut = subject.methods(vlm, [args.method], budgets, args.layer)
        methods, layers = [None, *cut], len(vlm.adapter.decoder_layers)
        asked = prompts.picture(vlm, args.side, args.side, "What is it?", cut[0].needs_tower)
        layer = cut[0].cuts[0].layer
        turns = [
            turn(vlm, asked, methods, layer, number)
            for number in range(args.repeats + 1)  # the first one warms up
        ]
        row = _row(turns[1:], len(methods), layer, layers)
        note = _NOTE.format(
            n=asked.n,
            budgets=", ".join(f"{100 * one:.3g} %" for one in budgets),
            method=args.method,
            layer=layer,
            layers=layers,
            repeats=args.repeats,
        )
        subject.report(args, argv, vlm, "sharing", f"{output.markdown([row])}\n\n{note}")
        output.write_csv(folder / "sharing.csv", [{**row, **environment.described(vlm)}])
    return 0


def _row(
    turns: Sequence[tuple[float, float]], answers: int, layer: int, layers: int
) -> dict[str, str]:
    alone, shared = (Spread.of(side).milliseconds for side in zip(*turns, strict=True))
    return {
        "answers": str(answers),
        "encodings, apart": str(answers),
        "encodings, together": "1",
        "layers read, apart": str(answers * layers),
        "layers read, together": str(layer + answers * (layers - layer)),
        "apart, ms": alone,
        "together, ms": shared,
        "together, x": f"{median(a / b for a, b in turns):.2f}",
    }


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m iwp bench sharing", description=__doc__)
    subject.add(parser)
    parser.add_argument("--method", default="iwp", help="a name that `methods` lists")
    parser.add_argument("--budgets", default="0.5,0.353,0.222,0.111,0.05", help="fractions to keep")
    parser.add_argument("--side", type=int, default=392, help="of a square picture, in pixels")
    return parser.parse_args(argv)
