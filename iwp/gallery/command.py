"""`python -m iwp gallery`: record the examples, write them as a folder of static files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from iwp import flags
from iwp.errors import InputError
from iwp.parser import Parser
from iwp.recordings import FILE, Recording, write
from iwp.report import megabytes
from iwp.settings import Settings
from iwp.ui.examples import EXAMPLES, Examples

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code.

    Raises:
        IWPError: there is nothing to do, or something of it cannot be done.
    """
    options = _parser().parse_args(argv)
    if not options.record and options.folder is None:
        raise InputError("Name the folder to write, or give --record, or both.")
    if options.turns < 1:
        raise InputError("--turns must be at least 1.")
    examples = Examples(options.examples)
    if not examples.rows:
        raise InputError(f"There is no examples.json in {str(options.examples)!r}.")
    if options.record:
        _record(examples, options)
    if options.folder is not None:
        _write(Examples(options.examples), options.folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m iwp gallery", description=__doc__)
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="OUT",
        help="write the gallery here, as static files",
    )
    parser.add_argument(
        "--record", action="store_true", help="answer the examples anew before, on this machine"
    )
    parser.add_argument(
        "--examples",
        type=Path,
        default=EXAMPLES,
        metavar="FOLDER",
        help=f"pictures and clips with examples.json; {FILE} is kept there, too",
    )
    parser.add_argument(
        "--turns",
        type=int,
        default=2,
        metavar="N",
        help="answer each side so many times; the fastest time counts (default 2)",
    )
    flags.add(parser)
    return parser


def _record(examples: Examples, options: argparse.Namespace) -> None:
    from transformers.utils import logging

    from iwp.engine import Engine
    from iwp.gallery.recorder import record

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    engine = Engine.load(flags.chosen(options, Settings.from_env()))
    engine.warm_up()
    for made in record(engine, examples.asked, options.turns):
        if isinstance(made, Recording):
            print(f"{made.file}: {_answers(made)}")
        else:
            write(made, options.examples / FILE)
            print(f"Recorded {len(made.entries)} examples: {made.made}")


def _write(examples: Examples, folder: Path) -> None:
    from iwp.gallery import site

    written = site.write(examples, folder)
    whole = sum(file.stat().st_size for file in written)
    first = site.first_view(written, folder)
    print(
        f"Wrote {len(written)} files to {folder}: {megabytes(whole)}, of which a browser loads "
        f"{megabytes(first)} at first."
    )


def _answers(made: Recording) -> str:
    answers = (f"{100 * one.budget:g} % {one.pruned.answer!r}" for one in made.results)
    return f"{made.results[0].baseline.answer!r}; {', '.join(answers)}"
