"""The paper's ablations on the exam of scenes: `python -m iwp bench ablation --table E.5`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from iwp import adapters, options
from iwp.adapters.base import VLM
from iwp.bench import output
from iwp.bench.tables import TABLES, Table, find
from iwp.budget import check_budget
from iwp.engine import choose_method
from iwp.errors import InputError
from iwp.parser import Parser
from iwp.pruners import Pruner
from iwp.scenes import exam
from iwp.scenes.vocabulary import COARSE, FINE

Columns = dict[tuple[str, str, float], Pruner]  # table, row and budget


def pruners(
    vlm: VLM, tables: list[Table], budgets: list[float] | None, changes: Mapping[str, Any]
) -> Columns:
    """What every cell row of the tables prunes with; layers that the model lacks are left out.

    `changes` replace the model's recommended ones, and a table's rows replace both.
    """
    n_layers = len(vlm.adapter.decoder_layers)
    found: Columns = {}
    for table in tables:
        for label, changed in table.rows:
            for budget in budgets or table.budgets:
                pruner = choose_method(vlm, budget, options={**changes, **changed})
                if pruner.layer < n_layers:
                    found[table.name, label, budget] = pruner
    return found


def rows(table: Table, columns: Columns, tally: exam.Tally) -> list[dict[str, Any]]:
    """One row a setting and budget: exact answers as shares of 1, and relative to every token."""
    every = tally.accuracy("full", (*COARSE, *FINE))
    out: list[dict[str, Any]] = []
    for (name, label, budget), pruner in columns.items():
        if name != table.name:
            continue
        key = repr(pruner)
        total = tally.accuracy(key, (*COARSE, *FINE))
        out.append(
            {
                "setting": label,
                "kept": f"{budget:.1%}",
                "coarse": tally.accuracy(key, COARSE),
                "fine": tally.accuracy(key, FINE),
                "all": total,
                "of full": total / every if every else float("nan"),
            }
        )
    return out


def main(argv: list[str]) -> int:
    """Run the tables that were asked for and write each as CSV, Markdown and PNG."""
    args = _parse(argv)
    torch.set_num_threads(args.threads)
    tables = find(args.table)
    budgets = [check_budget(b) for b in args.budgets] if args.budgets else None
    folder = output.folder(args.out)
    vlm = adapters.load(args.model)
    columns = pruners(vlm, tables, budgets, options.parse(args.set))
    # Settings that several tables share are run once.
    settings = {repr(pruner): exam.Setting(repr(pruner), pruner) for pruner in columns.values()}
    begun = time.perf_counter()

    def report(pictures: int) -> None:
        print(f"{pictures} pictures, {time.perf_counter() - begun:.0f} s", flush=True)

    asked = exam.items(args.seed, max(1, args.limit // len(exam.KINDS)))
    tally = exam.run(vlm, asked, [exam.Setting("full", None), *settings.values()], report)
    full = {group: tally.accuracy("full", k) for group, k in (("coarse", COARSE), ("fine", FINE))}
    print(f"every visual token: coarse {full['coarse']:.1%}, fine {full['fine']:.1%}")
    for table in tables:
        _write(table, rows(table, columns, tally), folder)
    return 0


def _write(table: Table, found: list[dict[str, Any]], folder: Path) -> None:
    stem = f"ablation-{table.name}"
    output.write_csv(folder / f"{stem}.csv", found)
    text = f"{table.title}\n\n{output.markdown(found)}\n"
    (folder / f"{stem}.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")
    labels = [f"{row['setting']}, {row['kept']}" for row in found]
    series = {group: [float(row[group]) for row in found] for group in ("coarse", "fine")}
    output.bars(folder / f"{stem}.png", table.title, labels, series)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m iwp bench ablation", description=__doc__)
    parser.add_argument(
        "--table",
        action="append",
        required=True,
        metavar="NAME",
        help=f"{', '.join(TABLES)} or all; may be given several times",
    )
    parser.add_argument("--model", default="demo", help="demo, a local folder or a Hub id")
    parser.add_argument("--limit", type=int, default=400, help=exam.LIMIT_HELP)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--budgets", nargs="+", type=float, help="fractions; the table's own if not given"
    )
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="of IWP")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder for the results")
    args = parser.parse_args(argv)
    if args.limit < 1:
        raise InputError(f"Ask at least 1 question, not {args.limit}.")
    return args
