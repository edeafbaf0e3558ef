"""How long each method takes to choose, beside IWP.

`python -m iwp bench select`

One decoder layer with the sizes of a 7B model and random weights chooses among made-up tokens:
what a projection costs depends on shapes alone. How long PACT's bisection, SCOPE's lazy gains and
VisPruner's lists take depends on the tokens too: other ones give other times. Projections that a
method needs are part of its time. What the vision tower says is given: the tower's pass is not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RotaryEmbedding

from iwp import measure
from iwp.bench import output, prompts
from iwp.errors import InputError
from iwp.parser import Parser
from iwp.pruners import PRUNERS, LayerView, Pruner
from iwp.types import Embeddings, Tower

TOKENS = (729, 2916, 7290)
LAYERS = 28
PAUSE_S = 5


@torch.no_grad()
def scene(n: int, config: Qwen2Config, device: torch.device, dtype: torch.dtype) -> LayerView:
    """A prompt with n visual tokens before the third layer of a decoder; nothing is computed yet.

    Args:
        n: visual tokens, in groups that look alike.
        config: the decoder's sizes.
        device: where it lies.
        dtype: of weights and hidden states.
    """
    hidden, tower = prompts.rows(n, config.hidden_size)
    total = hidden.shape[0]
    earlier = hidden + torch.randn(hidden.shape, generator=torch.Generator().manual_seed(n + 1))
    rows = torch.arange(total, device=device)
    cos, sin = Qwen2RotaryEmbedding(config).to(device)(hidden.to(device), rows[None])
    visual = rows[prompts.BEFORE : prompts.BEFORE + n]
    hidden = hidden.to(device, dtype)
    now = LayerView(
        _layer(config, 1).to(device, dtype),
        hidden,
        cos[0],
        sin[0],
        visual,
        rows[prompts.BEFORE + n :],
        rows,
        final_norm=torch.nn.RMSNorm(config.hidden_size).to(device, dtype),
        tower=tower.to(device),
        embeddings=Embeddings(hidden[visual], hidden[prompts.BEFORE + n :]),
    )
    before = _layer(config, 0).to(device, dtype)
    return replace(now, previous=replace(now, layer=before, hidden=earlier.to(device, dtype)))


@torch.no_grad()
def seconds(method: Pruner, view: LayerView) -> float:
    """What all cuts of a method take, each among the tokens that the one before has left."""
    total, view = 0.0, replace(view, n_uncut=view.n)
    for cut in method.cuts:
        fresh = _without_memory(view)
        watch = measure.Stopwatch(view.hidden.device)
        kept = cut.choose(fresh).kept
        total += watch.seconds()
        view = _shortened(view, kept)
    return total


def _layer(config: Qwen2Config, number: int) -> Qwen2DecoderLayer:
    torch.manual_seed(number)
    return Qwen2DecoderLayer(config, number).eval().requires_grad_(False)


def _without_memory(view: LayerView) -> LayerView:
    """The same view; what it has computed and keeps is left behind."""
    previous = view.previous
    return replace(view, previous=None if previous is None else _without_memory(previous))


def _shortened(view: LayerView, kept: Tensor) -> LayerView:
    """The view after a cut: dropped tokens are no rows of the prompt any more."""
    stays = torch.ones_like(view.prompt, dtype=torch.bool)
    stays[view.visual_in_prompt] = False
    stays[view.visual_in_prompt[kept]] = True
    tower = view.tower
    if tower is not None:
        tower = Tower(tower.saliency[kept], tower.keys[kept])
    previous = None if view.previous is None else _shortened(view.previous, kept)
    return replace(
        view,
        visual=view.visual[kept],
        prompt=view.prompt[stays],
        tower=tower,
        previous=previous,
    )


def measured(
    methods: Sequence[Pruner],
    counts: Sequence[int],
    repeats: int,
    view_of: Any,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """A row a method: median milliseconds at every count, and the ratio to IWP's.

    The methods take turns, so that what else the machine does meets all of them alike; the first
    turn warms up and does not count. `report` is told what comes next.
    """
    medians: dict[str, dict[int, float]] = {method.name: {} for method in methods}
    for n in counts:
        view = view_of(n)
        times: dict[str, list[float]] = {method.name: [] for method in methods}
        for turn in range(repeats + 1):
            for method in methods:
                report(f"{n:,} tokens, turn {turn + 1} of {repeats + 1}, {method.name}")
                taken = seconds(method, view)
                if turn:
                    times[method.name].append(taken)
        for name, all_times in times.items():
            medians[name][n] = median(all_times)
    for name, by_count in medians.items():
        row: dict[str, Any] = {"method": name}
        for n, value in by_count.items():
            row[f"{n:,} tokens, ms"] = output.brief(1000 * value)
            row[f"{n:,}, ratio to iwp"] = f"{value / medians['iwp'][n]:.3g}"
        yield row


class Progress:
    """Lines on stderr that say what comes next, with `PAUSE_S` seconds between them."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.next = self.begun

    def __call__(self, doing: str) -> None:
        """Tell what begins now, if it is time."""
        now = time.perf_counter()
        if now >= self.next:
            print(f"{doing}, {now - self.begun:.0f} s", file=sys.stderr, flush=True)
            self.next = now + PAUSE_S


def main(argv: list[str]) -> int:
    """Time the methods and print the table."""
    args = _parse(argv)
    counts = [prompts.count(word) for word in args.tokens.split(",")]
    if args.repeats < 1:
        raise InputError(f"Measure at least once, not {args.repeats} times.")
    names = list(PRUNERS) if args.methods == "all" else ["iwp", *args.methods.split(",")]
    for name in names:
        if name not in PRUNERS:
            raise InputError(f"There is no method {name!r}: all, {', '.join(PRUNERS)} exist.")
    device = torch.device(args.device)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    # The feed-forward part takes no part in any choice.
    config = Qwen2Config(
        hidden_size=3584, num_attention_heads=28, num_key_value_heads=4, intermediate_size=8
    )
    methods = [
        PRUNERS[name](**PRUNERS[name].suited(LAYERS, {}), budget=args.budget)
        for name in dict.fromkeys(names)
    ]
    if args.threads:
        torch.set_num_threads(args.threads)
    view_of = partial(scene, config=config, device=device, dtype=dtype)
    rows = list(measured(methods, counts, args.repeats, view_of, Progress()))
    print(output.markdown(rows))
    print(
        f"{args.budget:.1%} kept, median of {args.repeats}, {measure.device_name(device)}, "
        f"{str(dtype).removeprefix('torch.')}, {torch.get_num_threads()} CPU threads; "
        "the vision tower's pass is not in it"
    )
    if args.out is not None:
        output.write_csv(output.folder(args.out) / "select.csv", rows)
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m iwp bench select", description=__doc__)
    parser.add_argument("--methods", default="all", help="comma-separated; IWP is always there")
    parser.add_argument("--tokens", default=",".join(map(str, TOKENS)), help="visual tokens")
    parser.add_argument("--budget", type=float, default=0.111, help="fraction to keep")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's choice")
    parser.add_argument("--out", type=Path, help="folder for select.csv")
    return parser.parse_args(argv)
