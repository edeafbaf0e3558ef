"""The exam of the embedded model: `python -m iwp eval scenes`.

Held-out seeded scenes, exact match through transformers' own `generate()`, kind by kind. Coarse
kinds are asked on scenes of all sizes, fine ones on the largest, where the evidence of one question
is about one in a hundred of the visual tokens.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from iwp import adapters, options
from iwp.adapters.base import VLM
from iwp.engine import choose_method
from iwp.errors import InputError
from iwp.generate import kernel_exponents
from iwp.pruners import PRUNERS, Pruner
from iwp.scenes.evidence import Oracle, evidence_tokens
from iwp.scenes.examinee import Shared, answer
from iwp.scenes.questions import Question, ask
from iwp.scenes.scene import Scene, make_scene, random_size
from iwp.scenes.vocabulary import COARSE, FINE
from iwp.types import Media

HELD_OUT = 20260401  # first word of the exam's seeds; training never draws from them
LARGEST = (392, 392)


@dataclass(frozen=True)
class Item:
    """One picture of the exam and what is asked about it, at most once a kind."""

    scene: Scene
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Setting:
    """One column of the result: a method at a budget and a cut layer; `pruner` None is "full"."""

    name: str
    pruner: Pruner | None


def items(seed: int, per_kind: int, kinds: tuple[str, ...] = (*COARSE, *FINE)) -> Iterator[Item]:
    """Scenes and questions, the same for the same seed, until each kind was asked often enough."""
    left = dict.fromkeys(kinds, per_kind)
    number = 0
    while any(left.values()):
        rng = np.random.default_rng([HELD_OUT, seed, number])
        fine = number % 2 == 0
        scene = make_scene(rng, LARGEST if fine else random_size(rng))
        asked = []
        for kind in FINE if fine else COARSE:
            question = ask(rng, scene, kind) if left.get(kind) else None
            if question is not None:
                left[kind] -= 1
                asked.append(question)
        number += 1
        if asked:
            yield Item(scene, tuple(asked))


def settings(
    vlm: VLM, methods: list[str], budgets: list[float], layers: list[int], options: dict[str, Any]
) -> list[Setting]:
    """Every method at every budget and layer; "full" once."""
    out = []
    for method in methods:
        if method == "full":
            out.append(Setting("full", None))
            continue
        if method != "oracle" and method not in PRUNERS:
            raise InputError(
                f"There is no method {method!r}: full, oracle, {', '.join(PRUNERS)} exist."
            )
        for layer in layers:
            for budget in budgets:
                if method == "oracle":
                    pruner: Pruner = Oracle(budget, layer)
                else:
                    mine = options if method == "iwp" else {}
                    place = None if PRUNERS[method].own_layer else layer
                    pruner = choose_method(vlm, budget, method, place, mine)
                out.append(Setting(f"{method} {budget:.1%} @{pruner.layer}", pruner))
    return list(dict.fromkeys(out))  # a method with a layer of its own has one for all layers


class Tally:
    """Exact matches by setting and kind; kept evidence and kept share of tokens by setting."""

    def __init__(self) -> None:
        self.right: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
        self.recall: dict[str, list[float]] = defaultdict(list)
        self.share: dict[str, list[float]] = defaultdict(list)
        self.kept: dict[str, list[float]] = defaultdict(list)

    def accuracy(self, setting: str, kinds: tuple[str, ...]) -> float:
        """Mean over all questions of these kinds; NaN where none was asked."""
        answers = [a for k in kinds for a in self.right[setting][k]]
        return float(np.mean(answers)) if answers else float("nan")

    def rows(self) -> list[dict[str, Any]]:
        """One JSON-ready row a setting."""
        out = []
        for name, kinds in self.right.items():
            row: dict[str, Any] = {"setting": name, "n": sum(len(v) for v in kinds.values())}
            row |= {
                group: self.accuracy(name, k) for group, k in (("coarse", COARSE), ("fine", FINE))
            }
            row |= {k: float(np.mean(kinds[k])) for k in (*COARSE, *FINE) if kinds[k]}
            row["evidence_kept"] = float(np.mean(self.recall[name])) if self.recall[name] else 1.0
            out.append(
                {k: v for k, v in row.items() if v == v}
            )  # a kind that was not asked has no figure
        return out

    def table(self) -> str:
        """The rows as Markdown, accuracies in percent."""
        rows = self.rows()
        keys = [k for k in rows[0] if k not in ("setting", "n")]
        lines = ["| setting | n | " + " | ".join(keys) + " |", "|---" * (len(keys) + 2) + "|"]
        for row in rows:
            cells = [f"{100 * row[k]:.1f}" for k in keys]
            lines.append(f"| {row['setting']} | {row['n']} | " + " | ".join(cells) + " |")
        return "\n".join(lines)


def exponents(vlm: VLM, exam: Iterator[Item], pictures: int = 20) -> list[float]:
    """Median kernel exponent of every decoder layer, over the first pictures of the exam."""
    found = []
    for item in islice(exam, pictures):
        media = Media((Image.fromarray(item.scene.pixels),))
        prepared = vlm.adapter.prepare(media, item.questions[0].text)
        inputs = vlm.adapter.inputs(prepared, vlm.adapter.encode(prepared))
        found.append(kernel_exponents(vlm.model, **inputs))
    return [float(x) for x in np.median(found, axis=0)]


def run(
    vlm: VLM,
    exam: Iterator[Item],
    columns: list[Setting],
    report: Any = None,
    *,
    shared: bool = False,
) -> Tally:
    """Put every question to every setting; the vision tower runs once a picture.

    Answers are stock `generate()`'s. With `shared` they come from our own loop, the layers before
    each cut once for all settings: the same answers, for tables of many settings.
    """
    tally = Tally()
    for done, item in enumerate(exam):
        media, features = Media((Image.fromarray(item.scene.pixels),)), None
        for question in item.questions:
            prepared = vlm.adapter.prepare(media, question.text)
            if features is None:
                features = vlm.adapter.encode(prepared)
            inputs = vlm.adapter.inputs(prepared, features)
            fork = Shared(vlm, inputs) if shared else None
            boxes = [item.scene.things[i].box for i in question.evidence]
            evidence = evidence_tokens(prepared.layout, boxes)
            tally.share[question.kind].append(len(evidence) / prepared.layout.n)
            for column in columns:
                pruner = column.pruner
                if isinstance(pruner, Oracle):
                    pruner = replace(pruner, evidence=evidence)
                said, kept = fork.answer(pruner) if fork else answer(vlm, inputs, pruner)
                tally.right[column.name][question.kind].append(said == question.answer)
                n_kept = prepared.layout.n if kept is None else len(kept)
                tally.kept[column.name].append(n_kept / prepared.layout.n)
                if kept is not None and evidence:
                    tally.recall[column.name].append(float(np.isin(evidence, kept.numpy()).mean()))
        if report is not None and done % 50 == 49:
            report(done + 1)
    return tally


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m iwp eval scenes", description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument(
        "--limit", type=int, default=500, help="questions in all, the same number of every kind"
    )
    parser.add_argument("--kinds", default="", help="only these kinds, comma-separated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budgets", nargs="+", default=["0.111"], help="fractions")
    parser.add_argument(
        "--methods", default="full,iwp,random,uniform,oracle", help="comma-separated"
    )
    parser.add_argument(
        "--layers", default="", help="cut layers, comma-separated; the model's own if empty"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="an option of IWP, such as bandwidth=sqrt_d",
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads; one is fastest for a model this small"
    )
    parser.add_argument(
        "--exponents", action="store_true", help="only print each layer's median kernel exponent"
    )
    parser.add_argument(
        "--shared", action="store_true", help="our own loop, the layers before each cut run once"
    )
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    return parser.parse_args(argv)


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} takes numbers with commas between, not {text!r}.") from None


def main(argv: list[str]) -> int:
    """Run the exam and print its table."""
    args = _parse(argv)
    torch.set_num_threads(args.threads)
    vlm = adapters.load(args.model)
    if args.exponents:
        found = exponents(vlm, items(args.seed, per_kind=20))
        print("median kernel exponent by layer: " + " ".join(f"{x:.2f}" for x in found))
        return 0
    kinds = tuple(args.kinds.split(",")) if args.kinds else (*COARSE, *FINE)
    unknown = set(kinds) - {*COARSE, *FINE}
    if unknown:
        raise InputError(
            f"There is no kind of question {min(unknown)!r}: {', '.join((*COARSE, *FINE))} exist."
        )
    columns = settings(
        vlm,
        args.methods.split(","),
        [float(b) for b in _numbers("--budgets", ",".join(args.budgets))],
        [int(n) for n in _numbers("--layers", args.layers or str(vlm.pruner.get("layer", 4)))],
        options.parse(args.set),
    )
    begun = time.perf_counter()

    def report(pictures: int) -> None:
        print(f"{pictures} pictures, {time.perf_counter() - begun:.0f} s", flush=True)

    tally = run(
        vlm,
        items(args.seed, max(1, args.limit // len(kinds)), kinds),
        columns,
        report,
        shared=args.shared,
    )
    print(tally.table())
    shares = ", ".join(f"{k} {100 * np.mean(v):.1f} %" for k, v in tally.share.items())
    print(f"evidence, share of the visual tokens: {shares}")
    if args.json:
        args.json.write_text(json.dumps(tally.rows(), indent=1) + "\n")
    return 0
