"""Budgets that the method finds itself, beside fixed ones: `python -m iwp bench auto`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iwp import adapters
from iwp.adapters.base import VLM
from iwp.bench import output
from iwp.budget import check_budget
from iwp.engine import choose_method
from iwp.parser import Parser
from iwp.pruners.errors import MEASURES
from iwp.scenes import exam
from iwp.scenes.vocabulary import COARSE, FINE

Series = dict[str, list[exam.Setting]]

TOLERANCES = {
    "dual_weight": (0.8, 0.7, 0.6, 0.5, 0.4, 0.3),
    "attention_output": (0.5, 0.35, 0.25, 0.15, 0.1, 0.05),
}
BUDGETS = (0.03, 0.05, 0.08, 0.111, 0.15, 0.222, 0.353, 0.5)


def settings(vlm: VLM, budgets: list[float], tolerances: Mapping[str, Sequence[float]]) -> Series:
    """A line of the plot each: fixed budgets, and every measure at its tolerances."""
    fixed = [exam.Setting(f"fixed {b:.1%}", choose_method(vlm, b)) for b in budgets]
    found: Series = {"fixed budget": fixed}
    for measure in MEASURES:
        found[f"auto, {measure}"] = [
            exam.Setting(
                f"{measure} {tolerance}",
                choose_method(vlm, "auto", options={"tolerance": tolerance, "measure": measure}),
            )
            for tolerance in tolerances[measure]
        ]
    return found


def rows(series: Series, tally: exam.Tally) -> list[dict[str, Any]]:
    """One row a setting: mean share of the tokens that is kept, and exact answers."""
    groups = {"coarse": COARSE, "fine": FINE, "all": (*COARSE, *FINE)}
    return [
        {
            "budget": line,
            "setting": setting.name,
            "kept": float(np.mean(tally.kept[setting.name])),
            **{group: tally.accuracy(setting.name, kinds) for group, kinds in groups.items()},
        }
        for line, members in series.items()
        for setting in members
    ]


def main(argv: list[str]) -> int:
    """Run the exam at fixed and found budgets and write CSV and PNG."""
    args = _parse(argv)
    torch.set_num_threads(args.threads)
    budgets = [check_budget(b) for b in args.budgets]
    folder = output.folder(args.out)
    vlm = adapters.load(args.model)
    series = settings(vlm, budgets, TOLERANCES)
    begun = time.perf_counter()

    def report(pictures: int) -> None:
        print(f"{pictures} pictures, {time.perf_counter() - begun:.0f} s", flush=True)

    asked = exam.items(args.seed, max(1, args.limit // len(exam.KINDS)))
    every = [setting for members in series.values() for setting in members]
    tally = exam.run(vlm, asked, every, report)
    found = rows(series, tally)
    output.write_csv(folder / "auto.csv", found)
    (folder / "auto.md").write_text(output.markdown(found) + "\n", encoding="utf-8")
    print(output.markdown(found))
    lines = {
        line: [(row["kept"], row["all"]) for row in found if row["budget"] == line]
        for line in series
    }
    output.curves(folder / "auto.png", "kept, mean %", "exact answers, %", lines)
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m iwp bench auto", description=__doc__)
    parser.add_argument("--model", default="demo", help="demo, a local folder or a Hub id")
    parser.add_argument("--limit", type=int, default=400, help=exam.LIMIT_HELP)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budgets", nargs="+", type=float, default=BUDGETS, help="fixed fractions")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder for the results")
    return parser.parse_args(argv)
