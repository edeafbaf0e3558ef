"""`python -m iwp bench` and the bench's name, such as `ablation`, `efficiency` or `growth`."""

from __future__ import annotations

from importlib import import_module

from iwp.errors import InputError

COMMANDS = (
    *("ablation", "auto", "consistency", "efficiency", "growth"),
    *("select", "sharing", "similarity"),
)


def main(argv: list[str]) -> int:
    """Run the bench that the first word names.

    Raises:
        InputError: there is none of this name.
    """
    if not argv or argv[0] not in COMMANDS:
        raise InputError(f"Say which bench: python -m iwp bench {' | '.join(COMMANDS)}.")
    code: int = import_module(f"iwp.bench.{argv[0]}").main(argv[1:])
    return code
