"""Train the embedded model from scratch: `python -m iwp train-demo-model`.

Two phases. First the tower and the projector learn to say, patch by patch, what is there, in the
decoder's own word embeddings. Then everything learns to answer packed questions. The model never
sees a pruned input; in a share of the segments the text does not look at the picture in the first
layers, so that later layers learn to look for themselves.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from iwp.parser import Parser
from iwp.scenes.batches import SEGMENTS
from iwp.scenes.trainer import Trainer


class Log:
    """Running means of what the steps report, printed every so many steps."""

    def __init__(self, every: int) -> None:
        self.every, self.begun = every, time.perf_counter()
        self.sums: dict[str, list[float]] = defaultdict(list)

    def add(self, trainer: Trainer, values: dict[str, float]) -> None:
        """Take one step's figures."""
        for key, value in values.items():
            self.sums[key].append(value)
        if trainer.step % self.every == 0:
            seconds = (time.perf_counter() - self.begun) / self.every
            text = " ".join(f"{k} {np.mean(v):.3f}" for k, v in self.sums.items())
            print(f"{trainer.phase} {trainer.step} {seconds:.2f} s/step {text}", flush=True)
            self.sums, self.begun = defaultdict(list), time.perf_counter()


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m iwp train-demo-model", description=__doc__)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/demo-model"),
        help="checkpoint and exported model go here",
    )
    parser.add_argument("--start", type=Path, help="train this exported model further")
    parser.add_argument("--tower-steps", type=int, default=830)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument(
        "--decay", type=float, default=0.55, help="share of the steps in which the rate falls"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice"
    )
    parser.add_argument("--tokens", type=int, default=4600, help="visual and text tokens a step")
    parser.add_argument(
        "--segments",
        type=int,
        default=SEGMENTS,
        help="questions and drills behind one picture",
    )
    parser.add_argument(
        "--crops", type=int, default=64, help="crops a step while the tower trains alone"
    )
    parser.add_argument("--more-crops", type=int, default=6, help="crops without questions a step")
    parser.add_argument("--easy", type=float, default=0.8, help="more scenes of one crop at first")
    parser.add_argument("--easy-steps", type=int, default=1000, help="for so many steps")
    parser.add_argument("--clips", type=float, default=0.3, help="share of steps about clips")
    parser.add_argument("--drills", type=float, default=0.5, help="share of segments that drill")
    parser.add_argument("--muon", type=float, default=2.5e-3, help="learning rate of the matrices")
    parser.add_argument(
        "--tower-muon", type=float, default=5e-3, help="the same while the tower trains alone"
    )
    parser.add_argument("--adam", type=float, default=1e-3, help="learning rate of everything else")
    parser.add_argument(
        "--patch-weight", type=float, default=1.0, help="of the patch loss beside the answers'"
    )
    parser.add_argument(
        "--blind", type=float, default=0.5, help="share of segments blind in the first layers"
    )
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--log-every", type=int, default=25)
    parser.add_argument(
        "--stop-after",
        type=float,
        default=float("inf"),
        help="seconds; resume later with the same command",
    )
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Train, or go on from the checkpoint in --out, then export to --out/model."""
    args = _parse(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint, trainer, log, begun = (
        args.out / "checkpoint.pt",
        Trainer(args),
        Log(args.log_every),
        time.monotonic(),
    )
    if checkpoint.exists():
        trainer.load(checkpoint)
        print(f"going on from {trainer.phase} step {trainer.step}", flush=True)
    elif args.start:
        trainer.start_from(args.start)
    while True:
        if trainer.phase == "tower" and trainer.step >= args.tower_steps:
            trainer.begin_questions()
        if trainer.phase == "questions" and trainer.step >= args.steps:
            break
        log.add(
            trainer, trainer.tower_step() if trainer.phase == "tower" else trainer.question_step()
        )
        if trainer.step % args.save_every == 0:
            trainer.save(checkpoint)
        if time.monotonic() - begun > args.stop_after:
            break
    trainer.save(checkpoint)
    trainer.export(args.out / "model")
    print(f"wrote {args.out / 'model'}")
    return 0
