"""The exam of the embedded model: `python -m iwp eval scenes`, and `eval clips`.

Held-out scenes or clips, exact answers, every method at every budget. What was answered is kept in
a ledger in the folder of --out: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers

from iwp import adapters, measure
from iwp.adapters.base import VLM
from iwp.bench import output
from iwp.budget import check_budget
from iwp.errors import InputError
from iwp.exam.answering import Plan, answer_all, taking_part
from iwp.exam.entries import Entry, check_labels, names_in
from iwp.exam.explain import explained
from iwp.exam.figure import draw
from iwp.exam.ledger import forget
from iwp.exam.results import Answers, Row, Times, rows
from iwp.exam.tables import report
from iwp.exam.timing import times
from iwp.parser import Parser
from iwp.scenes import exam

_TITLES = {"cut": "kept at the cut, %", "average": "layer average, %"}


def main(argv: list[str], about: str = "scenes") -> int:
    """Take the exam of "scenes" or "clips", print its tables and write them where --out says."""
    args = _parse(argv, about)
    torch.set_num_threads(args.threads)
    if args.exponents:
        asked = (exam.clip_items if args.about == "clips" else exam.items)(args.seed, per_kind=20)
        found = exam.exponents(adapters.load(args.model), asked)
        print("median kernel exponent by layer: " + " ".join(f"{x:.2f}" for x in found))
        return 0
    if args.out is not None:
        return _take(args, output.folder(args.out), argv)
    with TemporaryDirectory() as folder:
        return _take(args, Path(folder), argv)


def _take(args: argparse.Namespace, folder: Path, argv: Sequence[str]) -> int:
    plan = _plan(args, folder / "ledger")
    again = names_in(args.again) if args.again else []
    vlm = adapters.load(args.model)
    able, refused = taking_part(vlm, plan)
    _check_named("--again", again, able)
    _check_named("--explain", [args.explain] if args.explain else [], able)
    if again:
        forget(plan.folder, again)
    plan.ledger(vlm, able)  # refuses before any work
    answer_all(vlm, plan)
    answers = Answers.of(plan.ledger(vlm, able).records.values(), able)
    timed = _times(vlm, plan, able, args.timed, plan.folder / f"times-{plan.convention}.json")
    found = rows(answers, timed)
    text = _text(found, refused, answers, args)
    print(text)
    if args.out is not None:
        head = f"`python -m iwp eval {args.about} {' '.join(argv)}`\n\n{_environment(vlm, args)}"
        stem = folder / plan.convention
        output.write_csv(stem.with_suffix(".csv"), found)
        stem.with_suffix(".md").write_text(f"{head}\n\n{text}\n", encoding="utf-8")
        draw(stem.with_suffix(".png"), found, _TITLES[plan.convention])
    return 0


def _check_named(option: str, methods: Collection[str], able: Sequence[Entry]) -> None:
    """Refuse methods that take no part."""
    there = dict.fromkeys(entry.method for entry in able)
    for method in methods:
        if method not in there:
            raise InputError(
                f"{option} names {method!r}, which takes no part: there is {', '.join(there)}."
            )


def _text(
    found: Sequence[Row], refused: Mapping[str, str], answers: Answers, args: argparse.Namespace
) -> str:
    count, pictures = len(answers.right), len(set(answers.pictures.tolist()))
    against, shown = args.explain, "clips" if args.about == "clips" else "pictures"
    parts = [f"{count:,} questions about {pictures:,} {shown}.", report(found)]
    parts += [
        f"Where {against or 'the best other method'} gains most on IWP, by kind of question:",
        explained(answers, against),
    ]
    if refused:
        lines = "\n".join(f"- {name}: {sentence}" for name, sentence in refused.items())
        parts.append(f"Not asked:\n\n{lines}")
    return "\n\n".join(parts)


def _times(vlm: VLM, plan: Plan, able: Sequence[Entry], questions: int, path: Path) -> Times:
    """Measured once for all of these entries in one place, so that they can be compared."""
    if not questions:
        return {}
    conditions = {
        "questions": questions,
        "device": measure.device_name(vlm.device),
        "threads": torch.get_num_threads(),
    }
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        seconds: dict[str, tuple[float, float]] = known.get("seconds", {})
        if known.get("conditions") == conditions and {e.name for e in able} <= seconds.keys():
            return seconds
    found = times(vlm, plan.items(), able, questions)
    text = json.dumps({"conditions": conditions, "seconds": found}, indent=1)
    path.write_text(f"{text}\n", encoding="utf-8")
    return found


def _environment(vlm: VLM, args: argparse.Namespace) -> str:
    return (
        f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"Python {platform.python_version()}; {vlm.device}, {str(vlm.model.dtype)[6:]}, "
        f"{vlm.attention} attention, {platform.machine()} with {os.cpu_count()} cores, "
        f"{args.jobs} processes with {args.threads} threads each, timed with one process."
    )


def _kinds(about: str) -> tuple[str, ...]:
    return exam.CLIP_KINDS if about == "clips" else exam.KINDS


def _plan(args: argparse.Namespace, folder: Path) -> Plan:
    there = _kinds(args.about)
    kinds = tuple(args.kinds.split(",")) if args.kinds else there
    unknown = set(kinds) - set(there)
    if unknown:
        raise InputError(
            f"There is no kind of question {min(unknown)!r}: {', '.join(there)} exist."
        )
    if args.limit < len(kinds) or args.jobs < 1 or args.threads < 1 or args.timed < 0:
        raise InputError(
            "--limit is at least one question of each kind, --jobs and --threads are at least 1."
        )
    return Plan(
        model=args.model,
        methods=args.methods,
        budgets=tuple(_budgets(args.budgets)),
        convention=args.convention,
        seed=args.seed,
        per_kind=args.limit // len(kinds),
        kinds=kinds,
        folder=folder,
        jobs=args.jobs,
        threads=args.threads,
        clips=args.about == "clips",
    )


def _budgets(words: Sequence[str]) -> list[float]:
    parts = [part for word in words for part in word.split(",")]
    try:
        budgets = [check_budget(float(part)) for part in parts]
    except ValueError:
        raise InputError(
            f"--budgets takes fractions above 0 and at most 1, not {','.join(parts)!r}."
        ) from None
    check_labels(budgets)
    return budgets


def _parse(argv: Sequence[str], about: str) -> argparse.Namespace:
    parser = Parser(prog=f"python -m iwp eval {about}", description=__doc__)
    parser.set_defaults(about=about)
    add = parser.add_argument
    add("--model", default="demo", help="demo, a local folder or a Hub id")
    add(
        "--methods",
        default="full,iwp,random,uniform,oracle",
        help="comma-separated, with options such as iwp:layer=2:bandwidth=sqrt_d; all: every one",
    )
    add("--budgets", nargs="+", default=["0.111"], help="fractions")
    add(
        "--convention",
        default="cut",
        choices=("cut", "average"),
        help="budgets are what a cut leaves, or what a layer reads on average",
    )
    add(
        "--limit",
        type=int,
        default=500,
        help="questions in all (default 500), rounded down to the same number of each of the "
        f"{len(_kinds(about))} kinds, or of --kinds; less than one of each is refused",
    )
    add("--kinds", default="", help="only these kinds, comma-separated")
    add("--seed", type=int, default=0, help="of the scenes")
    add("--out", type=Path, help="folder for ledger, CSV, Markdown and plot")
    add("--jobs", type=int, default=1, help="processes, each with a part of the pictures")
    add("--threads", type=int, default=1, help="CPU threads a process; one suits a small model")
    add("--timed", type=int, default=0, help="pictures on which to time every setting alone")
    add("--again", default="", metavar="METHODS", help="forget what these have answered")
    add("--explain", metavar="METHOD", help="where this method gains on IWP; else the best one")
    add("--exponents", action="store_true", help="only print each layer's median kernel exponent")
    return parser.parse_args(argv)
