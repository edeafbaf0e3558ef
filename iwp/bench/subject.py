"""Which model a speed bench runs, with which methods: options of the command line, checked."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from iwp import adapters, flags, marked, measure
from iwp.adapters.base import VLM
from iwp.adapters.placement import Placement
from iwp.bench import environment, stand_ins
from iwp.engine import choose_method
from iwp.errors import InputError
from iwp.pruners import PRUNERS, Pruner
from iwp.settings import Settings


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options that `opened` and `write` read."""
    flags.add(parser)
    names = ", ".join(stand_ins.STAND_INS)
    parser.add_argument("--random", metavar="NAME", help=f"random weights of real sizes: {names}")
    parser.add_argument("--layers", type=int, help="no deeper than this, with --random")
    parser.add_argument("--layer", type=int, help="decoder layer to cut before")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 chooses")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder for the results")
    parser.add_argument("--write", type=Path, metavar="FILE", help="renew its table in this file")


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[VLM]:
    """The model of these options, with their CPU threads inside the block.

    Raises:
        InputError: random weights are to be divided or quantised, a real model is to be shortened,
            or nothing is to be repeated.
        ModelError: the model cannot be had.
    """
    if args.repeats < 1:
        raise InputError(f"Measure at least once, not {args.repeats} times.")
    settings = flags.chosen(args, Settings.from_env())
    vlm = _model(args.random, args.layers, settings)
    threads = measure.cpu_threads(vlm.model, vlm.device, args.threads or settings.threads)
    with measure.threads(threads):
        yield vlm


def methods(
    vlm: VLM, names: Sequence[str], budgets: Sequence[float], layer: int | None
) -> list[Pruner]:
    """Every method at every budget, cut before `layer` where one is given.

    Args:
        vlm: the model.
        names: of methods; "all" alone stands for every one.
        budgets: fractions to keep.
        layer: a decoder layer.

    Raises:
        InputError: a method does not exist, or would not cut at all.
    """
    layers = len(vlm.adapter.decoder_layers)
    found = []
    for name in PRUNERS if list(names) == ["all"] else names:
        for budget in budgets:
            method = choose_method(vlm, budget, name, layer)
            first = method.cuts[0].layer
            if first >= layers:
                raise InputError(
                    f"{name} would cut before layer {first} of {layers}, and so not at all: give "
                    f"--layer, at most {layers - 1}."
                )
            found.append(method)
    return found


def report(args: argparse.Namespace, argv: Sequence[str], vlm: VLM, bench: str, text: str) -> None:
    """Print a bench's tables, save them as Markdown, and renew them where --write says.

    The place there is called after bench, model and, where it was shortened, its layers.

    Args:
        args: the options.
        argv: the words that they were made of.
        vlm: the model.
        bench: the bench's name.
        text: Markdown without an end of line.
    """
    whole = f"{text}\n\n{environment.sentence(environment.described(vlm))}."
    (args.out / f"{bench}.md").write_text(f"{whole}\n", encoding="utf-8")
    print(f"\n{whole}")
    if args.write:
        place = f"{bench}-{args.random or Path(vlm.name).name}"
        place += f"-{args.layers}-layers" if args.layers else ""
        marked.write(args.write, place, f"python -m iwp bench {bench} {shlex.join(argv)}", whole)


def _model(stand_in: str | None, layers: int | None, settings: Settings) -> VLM:
    if stand_in is None:
        if layers is not None:
            raise InputError("Only random weights can be shortened: give --random with --layers.")
        return adapters.load(settings.model, **settings.loading)
    if settings.device_map or settings.quantization:
        raise InputError("Random weights lie on one device: leave device map and quantization out.")
    placement = Placement.choose(settings.device, settings.dtype, settings.attention, None, None)
    return stand_ins.build(stand_in, placement, layers)
