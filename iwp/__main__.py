"""The command line: `python -m iwp run | rank | sweep | methods | eval | bench | ...`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from iwp import flags, report
from iwp.errors import IWPError
from iwp.frames import labels
from iwp.parser import BAD_INPUT, Parser
from iwp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iwp.budget import Budget
    from iwp.engine import Engine
    from iwp.pruners.base import Pruner
    from iwp.types import Media, Sampling

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; 2 means that the input cannot be used."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["eval"]:
            from iwp.exam import commands as exams

            return exams.main(words[1:])
        if words[:1] == ["bench"]:
            from iwp.bench import commands as benches

            return benches.main(words[1:])
        if words[:1] == ["gallery"]:
            from iwp.gallery import command as gallery

            return gallery.main(words[1:])
        if words[:1] == ["train-demo-model"]:
            from iwp.scenes import train

            return train.main(words[1:])
        options = _parser().parse_args(words)
        return int(options.command(options))
    except IWPError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return _INTERRUPTED


def parse_budget(text: str) -> Budget:
    """The share of tokens to keep, as a fraction (0.222) or in percent (22.2%), or "auto".

    Raises:
        InputError: it is not a number, or not between 0 and 100 %.
    """
    from iwp.budget import check_budget
    from iwp.errors import InputError

    number = text.strip()
    if number == "auto":
        return "auto"
    try:
        value = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        raise InputError(
            f"The budget must look like 0.222 or 22.2%, or be auto, not {text!r}."
        ) from None
    return check_budget(value)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m iwp", description=sys.modules["iwp"].__doc__)
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=Parser)
    run = commands.add_parser("run", help="answer with every visual token and with the kept ones")
    run.set_defaults(command=_run)
    run.add_argument("--budget", default="0.222", help="share to keep: 0.222, 22.2%% or auto")
    run.add_argument(
        "--convention",
        default="cut",
        choices=("cut", "average"),
        help="what the budget is a share of: what the cut leaves, or what a layer reads on average",
    )
    run.add_argument("--against", metavar="METHOD", help="what the left side keeps (default: all)")
    run.add_argument("--max-new-tokens", type=int, help="longest answer")
    run.add_argument("--temperature", type=float, default=0.0, help="above 0 draws (default 0)")
    run.add_argument(
        "--overlay",
        metavar="FILE",
        help="save the picture with the kept patches lit, of a video as .mp4 or as one picture of "
        "all frames (.png); with --against left, right and the difference",
    )
    run.add_argument("--mode", default="mask", choices=("mask", "heat", "outline"))
    rank = commands.add_parser("rank", help="list the visual tokens, most informative first")
    rank.set_defaults(command=_rank)
    rank.add_argument(
        "--budget",
        default="0.222",
        help="for a method that chooses other tokens at other budgets: which one to rank at",
    )
    rank.add_argument("--top", type=int, default=20, help="lines to print (default 20)")
    sweep = commands.add_parser("sweep", help="answer at a row of budgets, 100 %% first")
    sweep.set_defaults(command=_sweep)
    sweep.add_argument(
        "--budgets", default="0.5,0.353,0.222,0.111,0.05", help="shares to keep, with commas"
    )
    for command in (run, rank, sweep):
        shown = command.add_mutually_exclusive_group(required=True)
        shown.add_argument("--image", metavar="FILE")
        shown.add_argument("--video", metavar="FILE", help="MP4, MOV, WebM, MKV, AVI or GIF")
        command.add_argument(
            "--frames",
            type=int,
            metavar="N",
            help="frames of the video to show (default: what the model's family shows)",
        )
        command.add_argument("--question", required=True)
        flags.add(command)
        command.add_argument("--method", default="iwp", help="a name that `methods` lists")
        command.add_argument("--layer", type=int, help="decoder layer to cut before")
        command.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="OPTION=VALUE",
            help="an option of the method, such as bandwidth=median; may be given several times",
        )
        command.add_argument("--json", action="store_true", help="print one JSON object")
    methods = commands.add_parser("methods", help="list the methods and what a budget is for each")
    methods.set_defaults(command=_methods)
    methods.add_argument("--layers", type=int, default=28, help="depth of the decoder (default 28)")
    methods.add_argument("--markdown", action="store_true", help="print the README's table")
    methods.add_argument("--write", metavar="FILE", help="renew the table in a Markdown file")
    commands.add_parser("eval", help="eval scenes | clips | export: the exams, one for lmms-eval")
    commands.add_parser("bench", help="bench ablation | efficiency | growth | select | ...")
    commands.add_parser("gallery", help="record the examples' answers; write them as static files")
    commands.add_parser("train-demo-model", help="train the embedded model from scratch")
    return parser


def _run(options: argparse.Namespace) -> int:
    budget = parse_budget(options.budget)
    media, engine, method, against = _start(options, budget, options.against)
    run = engine.compare(
        media,
        options.question,
        budget,
        method=method,
        against=against,
        convention=options.convention,
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
    )
    try:
        result = run.result()
    finally:
        run.stop()
    if options.overlay:
        from iwp import drawing

        drawing.save(media, result, options.mode, options.overlay)
    if options.json:
        print(_dump(report.to_json(result)))
    else:
        print(report.table(result, method, against))
    return 0


def _rank(options: argparse.Namespace) -> int:
    budget = parse_budget(options.budget)
    media, engine, method, _ = _start(options, budget)
    ranked = engine.rank(media, options.question, method=method)
    order = ranked.ranking.ranks.argsort().tolist()
    if options.json:
        content = {
            "n_visual": ranked.layout.n,
            "frames": report.frames(ranked.layout, media.clip_times),
            "ranks": ranked.ranking.ranks.tolist(),
            "scores": ranked.ranking.scores.tolist(),
            "method": str(method),
            "budget_is": method.budget_is,
            "model": engine.vlm.name,
            "device": engine.device_name,
        }
        print(_dump(content))
        return 0
    print(f"{ranked.layout.n} visual tokens, the first ones to keep:")
    places = labels(ranked.layout) if media.kind == "video" else {}
    scores = ranked.ranking.scores[order[: options.top]].tolist()
    for place, (token, score) in enumerate(zip(order, scores, strict=False)):
        print(f"{place:>6}  token {token:>6}  score {score:.4f}  {places.get(token, '')}".rstrip())
    if scores != sorted(scores, reverse=True) and len(method.cuts) == 1 and not method.merges:
        print(
            "A score is what a token counts by itself; the rank also weighs how much it duplicates "
            "tokens before it, so scores need not fall."
        )
    print(f"A budget of this method is {method.budget_is}.")
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from iwp.errors import InputError
    from iwp.events import Swept

    budgets: list[float] = []
    for word in options.budgets.split(","):
        budget = parse_budget(word)
        if budget == "auto":
            raise InputError("A sweep takes shares such as 0.5,22.2%, not auto.")
        budgets.append(budget)
    media, engine, method, _ = _start(options, budgets[0])
    session = engine.rank(media, options.question, method=method).session
    run = engine.sweep(session, budgets)
    try:
        *_, last = (event for event in run if isinstance(event, Swept))
    finally:
        run.stop()
    found = last.sweep
    print(_dump(asdict(found)) if options.json else report.sweep_table(found, method))
    return 0


def _methods(options: argparse.Namespace) -> int:
    from pathlib import Path

    from iwp import registry

    if options.layers < 1:
        raise IWPError(f"A decoder has at least 1 layer, not {options.layers}.")
    if options.write:
        registry.write(Path(options.write), options.layers)
    else:
        print((registry.markdown if options.markdown else registry.text)(options.layers))
    return 0


def _start(
    options: argparse.Namespace, budget: Budget, against: str | None = None
) -> tuple[Media, Engine, Pruner, Pruner | None]:
    # What a person gave is checked before the model is loaded: mistakes are answered at once.
    from iwp.options import parse
    from iwp.question import clean

    settings = flags.chosen(options, Settings.from_env())
    media = _opened(options, settings.max_pixels)
    clean(options.question)
    changes = parse(options.set)

    from transformers.utils import logging

    from iwp.engine import Engine, choose_method

    logging.set_verbosity_error()
    logging.disable_progress_bar()  # stderr is for the one sentence that explains a refusal
    engine = Engine.load(settings)
    method = choose_method(engine.vlm, budget, options.method, options.layer, changes)
    rival = choose_method(engine.vlm, budget, against) if against else None
    if media.kind == "video" and options.frames is None:
        media = _opened(options, settings.max_pixels, engine.vlm.adapter.sampling)
    return media, engine, method, rival


def _opened(options: argparse.Namespace, max_pixels: int, frames: Sampling | int = 1) -> Media:
    from iwp.errors import InputError
    from iwp.media import open_picture
    from iwp.video import is_video, open_video

    if options.video is not None:
        shown = frames if options.frames is None else options.frames
        return open_video(options.video, shown, max_pixels=max_pixels)
    if options.frames is not None:
        raise InputError("--frames counts the frames of a --video; leave it out for a picture.")
    if is_video(options.image):
        raise InputError("The file is a video; give it as --video.")
    return open_picture(options.image, max_pixels=max_pixels)


def _dump(content: dict[str, Any]) -> str:
    return json.dumps(report.plain(content), allow_nan=False, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
