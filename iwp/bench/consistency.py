"""How alike the selections at different layers are, as Figure E.2 of the paper.

`python -m iwp bench consistency`
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from iwp import adapters
from iwp.adapters.base import VLM
from iwp.bench import output
from iwp.budget import USUAL_BUDGET, check_budget
from iwp.engine import choose_method
from iwp.generate import look
from iwp.parser import Parser
from iwp.pruners import LayerView, Pruner
from iwp.scenes import exam
from iwp.types import Media


@torch.no_grad()
def selections(vlm: VLM, media: Media, question: str, method: Pruner) -> Tensor:
    """(layers, n) bool: what the method would keep before each decoder layer of one pass."""
    prepared = vlm.adapter.prepare(media, question)
    inputs = vlm.adapter.inputs(prepared, vlm.adapter.encode(prepared))
    found: list[Tensor] = []

    def note(layer: int, view: LayerView) -> None:
        chosen = replace(method, layer=layer).choose(view).kept
        mask = torch.zeros(view.n, dtype=torch.bool)
        mask[chosen.cpu()] = True
        found.append(mask)

    look(vlm.model, **inputs, note=note)
    return torch.stack(found)


def overlap(masks: Tensor) -> Tensor:
    """(layers, n) bool -> (layers, layers) float64 intersection over union of every pair."""
    sets = masks.double()
    both = sets @ sets.T
    sizes = sets.sum(1)
    return both / (sizes[:, None] + sizes[None] - both)


def mean_overlap(vlm: VLM, questions: Iterator[tuple[Media, str]], method: Pruner) -> Tensor:
    """(layers, layers) mean intersection over union (mIoU) over these questions."""
    total, count = torch.zeros(()), 0
    for media, question in questions:
        total = total + overlap(selections(vlm, media, question, method))
        count += 1
    return total / count


def main(argv: list[str]) -> int:
    """Measure on scenes of the exam and write CSV and PNG."""
    args = _parse(argv)
    torch.set_num_threads(args.threads)
    budget = check_budget(args.budget)
    folder = output.folder(args.out)
    vlm = adapters.load(args.model)
    scenes = exam.items(args.seed, args.pictures)
    questions = ((item.media, item.questions[0].text) for item in scenes)
    matrix = mean_overlap(vlm, islice(questions, args.pictures), choose_method(vlm, budget))
    rows = [
        {"layer": str(i), **{str(j): float(x) for j, x in enumerate(line)}}
        for i, line in enumerate(matrix)
    ]
    output.write_csv(folder / "consistency.csv", rows)
    title = f"mIoU of the kept {budget:.1%}, {args.pictures} pictures"
    output.matrices(
        folder / "consistency.png", {title: matrix.tolist()}, "layer", numbers=len(rows) < 15
    )
    print(f"{title}, in percent:\n\n{output.markdown(rows)}")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m iwp bench consistency", description=__doc__)
    parser.add_argument("--model", default="demo", help="demo, a local folder or a Hub id")
    parser.add_argument("--pictures", type=int, default=40, help="scenes, one question each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget", type=float, default=USUAL_BUDGET, help="fraction to keep")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder for the results")
    return parser.parse_args(argv)
