"""The commands of a command, such as those of `bench`: listed, or run by the first word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from iwp.errors import InputError


class Subcommand(NamedTuple):
    """A command that follows another one.

    Attributes:
        about: what it does, for people.
        module: whose `main` takes the words that follow, and returns the exit code.
        arguments: what `main` takes after them.
    """

    about: str
    module: str
    arguments: tuple[str, ...] = ()


def run(
    command: str, noun: str, subcommands: Mapping[str, Subcommand], words: Sequence[str]
) -> int:
    """Run what the first word names, or list all that there is; returns the exit code.

    Args:
        command: the words before, such as "python -m iwp bench".
        noun: what its commands are.
        subcommands: by their names.
        words: those that follow `command`.

    Raises:
        InputError: there is no word, or none of this name.
    """
    first, *rest = words or [""]
    if first in ("-h", "--help"):
        print(_listed(command, subcommands))
        return 0
    if first not in subcommands:
        raise InputError(f"Say which {noun}: {command} {' | '.join(subcommands)}.")
    meant = subcommands[first]
    code: int = import_module(meant.module).main(rest, *meant.arguments)
    return code


def _listed(command: str, subcommands: Mapping[str, Subcommand]) -> str:
    width = max(map(len, subcommands))
    lines = [f"  {name.ljust(width)}  {one.about}" for name, one in subcommands.items()]
    return "\n".join(
        [
            f"usage: {command} {' | '.join(subcommands)}",
            "",
            *lines,
            "",
            f"{command} {next(iter(subcommands))} --help lists the options of that one, and so on.",
        ]
    )
