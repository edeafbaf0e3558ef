"""What pruning saves, part by part, beside what an ideal cut would save: Table 7 of the paper.

`python -m iwp bench efficiency --random llava-onevision-7b --pictures 640x480`

Baseline and methods answer the same prompt in turns. Ideal is: the picture is encoded, the layers
before the cut read everything, those after it what was kept, and nothing else takes any time; a
layer's seconds at both lengths are measured in the same turns. Preparing the picture on the CPU is
no part of anything.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iwp.adapters.base import VLM
from iwp.bench import environment, limit, output, prompts, subject
from iwp.bench.prompts import Asked
from iwp.bench.turns import Measured, measured
from iwp.budget import check_budget
from iwp.errors import InputError
from iwp.parser import Parser
from iwp.pruners import Pruner

_SIZES = "640x480"
_QUESTION = "Which of these is shown in the picture? Answer with the option's letter."
_PARTS = ("encode", "selection", "prefill", "decode", "fast", "latency")
_NOTE = (
    "Tokens of a prompt: visual + text. Median (quartiles) of {repeats} turns. The prefill "
    "contains the selection; latency is encoding, prefill and {tokens} new tokens. Memory: "
    "weights, and the most that encoding and answer hold beyond them. x: times faster than every "
    "token, the median over turns. Of ideal: what encoding and the layers alone would take, over "
    "what was taken until the answer begins. A token: by stock steps, as in the latency; fast: in "
    "caches of fixed size, on a GPU as a CUDA graph, without the step that is recorded; a dash: "
    "that did not succeed. Of limit: a fast token over {limit} ms, in which the {weights} MB of "
    "weights that it needs are read at the {speed} GB/s that a copy reaches here."
)


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        asked: the prompt.
        method: with its budget; None: every token.
        measured: what it took.
        limit_s: see `iwp.bench.limit.token_s`.
    """

    asked: Asked
    method: Pruner | None
    measured: Measured
    limit_s: float

    @property
    def name(self) -> str:
        """The method and its budget, for people."""
        if self.method is None:
            return "every token"
        return f"{self.method.name} {100 * float(self.method.budget):.3g} %"

    @property
    def of_limit(self) -> float | None:
        """Seconds of a fast token over those of reading the weights; None where none was fast."""
        fast = self.measured.parts.get("fast")
        return None if fast is None else fast.median / self.limit_s


def results(
    vlm: VLM, every: Sequence[Asked], methods: Sequence[Pruner], new_tokens: int, repeats: int
) -> Iterator[Result]:
    """Measure every method on every prompt, the baseline first."""
    contenders, limit_s = [None, *methods], limit.token_s(vlm.model, vlm.device)
    for asked in every:
        found = measured(vlm, asked, contenders, new_tokens, repeats, fast=True)
        for method, one in zip(contenders, found, strict=True):
            yield Result(asked, method, one, limit_s)


def raw(result: Result) -> dict[str, Any]:
    """A row of the CSV: seconds, bytes and tokens."""
    found, asked = result.measured, result.asked
    row: dict[str, Any] = {
        "prompt": asked.label,
        "visual_tokens": asked.n,
        "text_tokens": asked.text,
        "method": "full" if result.method is None else repr(result.method),
        "kept": found.kept,
        "layer_average_tokens": found.average,
    }
    for name in _PARTS:
        spread = found.parts.get(name)
        numbers = (None,) * 3 if spread is None else (spread.median, spread.low, spread.high)
        row |= dict(zip((f"{name}_s", f"{name}_q1_s", f"{name}_q3_s"), numbers, strict=True))
    others = ("prefill_speedup", "latency_speedup", "of_ideal", "kv_bytes", "peak_bytes")
    return {
        **row,
        **{name: getattr(found, name) for name in others},
        "limit_s": result.limit_s,
    }


def shown(result: Result) -> dict[str, str]:
    """A row of the Markdown table."""
    found, asked = result.measured, result.asked
    parts = {name: spread.milliseconds for name, spread in found.parts.items()}
    return {
        "prompt": f"{asked.label}: {asked.n:,} + {asked.text}",
        "method": result.name,
        "kept": f"{found.kept:,}",
        "layer average": f"{found.average:,.0f}",
        "encoding, ms": parts["encode"] if found.parts["encode"].median else "-",
        "selection, ms": parts["selection"] if result.method else "-",
        "prefill, ms": parts["prefill"],
        "a token, ms": parts["decode"],
        "a token, fast, ms": parts.get("fast", "-"),
        "of limit, x": "-" if result.of_limit is None else f"{result.of_limit:.2f}",
        "latency, ms": parts["latency"],
        "memory, MB": f"{found.peak_bytes / 1e6:,.0f}",
        "KV, MB": f"{found.kv_bytes / 1e6:,.1f}",
        "prefill, x": f"{found.prefill_speedup:.2f}",
        "latency, x": f"{found.latency_speedup:.2f}",
        "of ideal": f"{found.of_ideal:.0%}" if result.method else "-",
    }


def main(argv: list[str]) -> int:
    """Measure, print the table, and write CSV, Markdown and plot."""
    args = _parse(argv)
    if args.new_tokens < 2:
        raise InputError(f"Ask for at least 2 new tokens, not {args.new_tokens}.")
    sizes = [_size(word) for word in args.pictures.split(",")] if args.pictures else []
    counts = [prompts.count(word) for word in args.tokens.split(",")] if args.tokens else []
    budgets = [check_budget(word) for word in args.budgets.split(",")]
    folder = output.folder(args.out)
    found: list[Result] = []
    with subject.opened(args) as vlm:
        methods = subject.methods(vlm, args.methods.split(","), budgets, args.layer)
        looks = any(method.needs_tower for method in methods)
        words = environment.described(vlm)
        print(environment.sentence(words), flush=True)
        shots = sizes if sizes or counts else [_size(_SIZES)]
        asked = [prompts.picture(vlm, *size, args.question, looks) for size in shots]
        asked += [prompts.made_up(vlm, count) for count in counts]
        for result in results(vlm, asked, methods, args.new_tokens, args.repeats):
            print(f"{result.asked.label}, {result.name}: measured", flush=True)
            found.append(result)
        weights, limit_s = limit.weights_read(vlm.model), found[0].limit_s
        note = _NOTE.format(
            repeats=args.repeats,
            tokens=args.new_tokens,
            limit=output.brief(1e3 * limit_s),
            weights=output.brief(1e-6 * weights),
            speed=output.brief(1e-9 * weights / limit_s),
        )
        table = output.markdown([shown(result) for result in found])
        subject.report(args, argv, vlm, "efficiency", f"{table}\n\n{note}")
    output.write_csv(folder / "efficiency.csv", [{**raw(result), **words} for result in found])
    _draw(folder / "efficiency.png", words["model"], found, args.new_tokens)
    return 0


def _draw(path: Path, title: str, found: Sequence[Result], new_tokens: int) -> None:
    labels = [f"{result.asked.label}, {result.name}" for result in found]

    def medians(name: str) -> list[float]:
        return [1000 * result.measured.parts[name].median for result in found]

    selection = medians("selection")
    rest = [whole - part for whole, part in zip(medians("prefill"), selection, strict=True)]
    parts = {"encoding": medians("encode"), "selection": selection, "rest of the prefill": rest}
    parts[f"{new_tokens} new tokens"] = [(new_tokens - 1) * part for part in medians("decode")]
    output.stacked(path, title, labels, parts, "ms")


def _size(word: str) -> tuple[int, int]:
    width, _, height = word.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) * int(height)):
        raise InputError(f"--pictures takes sizes such as 640x480, not {word!r}.")
    return int(width), int(height)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m iwp bench efficiency", description=__doc__)
    subject.add(parser)
    parser.add_argument("--pictures", help=f"sizes in pixels ({_SIZES}), with commas between")
    parser.add_argument("--tokens", help="made-up visual tokens, such as 729,2916; no tower runs")
    parser.add_argument("--question", default=_QUESTION, help="about the pictures")
    parser.add_argument("--methods", default="iwp", help="comma-separated, or all")
    parser.add_argument("--budgets", default="0.222,0.111", help="fractions to keep")
    parser.add_argument("--new-tokens", type=int, default=16)
    return parser.parse_args(argv)
