"""The parser of every command: words that cannot be used get one sentence on stderr."""

from __future__ import annotations

import argparse
from typing import NoReturn

BAD_INPUT = 2
"""The exit code that says that the input cannot be used."""


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose refusals are one line instead of its usage."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the options are listed, and exit."""
        self.exit(BAD_INPUT, f"{message[0].upper()}{message[1:]} (see {self.prog} --help)\n")
