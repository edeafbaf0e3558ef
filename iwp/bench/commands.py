"""`python -m iwp bench` and the bench's name, such as `ablation`, `efficiency` or `growth`."""

from __future__ import annotations

from collections.abc import Sequence

from iwp import subcommands

_ABOUT = {
    "ablation": "the paper's ablations on the exam of scenes",
    "auto": "budgets that the method finds itself, beside fixed ones",
    "consistency": "how alike the selections at different layers are",
    "efficiency": "what pruning saves and costs, part by part",
    "growth": "time and memory of selection and prefill against the visual tokens",
    "select": "how long each method takes to choose, beside IWP",
    "sharing": "what a sweep gains by encoding once and reading the first layers once",
    "similarity": "how alike the tokens of one prompt are",
}
COMMANDS = {
    name: subcommands.Subcommand(about, f"iwp.bench.{name}") for name, about in _ABOUT.items()
}


def main(argv: Sequence[str]) -> int:
    """Run the bench that the first word names, or list them.

    Raises:
        InputError: there is none of this name.
    """
    return subcommands.run("python -m iwp bench", "bench", COMMANDS, argv)
