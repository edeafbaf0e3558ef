"""`python -m iwp eval` and the exam's name: `scenes`, `clips` or `export`."""

from __future__ import annotations

from collections.abc import Sequence

from iwp import subcommands
from iwp.subcommands import Subcommand

COMMANDS = {
    "scenes": Subcommand("the exam of drawn pictures", "iwp.exam.command", ("scenes",)),
    "clips": Subcommand("the exam of drawn clips", "iwp.exam.command", ("clips",)),
    "export": Subcommand("the exam of pictures as a task for lmms-eval", "iwp.evals.export"),
}


def main(argv: Sequence[str]) -> int:
    """Take the exam that the first word names, or list them.

    Raises:
        InputError: there is none of this name.
    """
    return subcommands.run("python -m iwp eval", "exam", COMMANDS, argv)
