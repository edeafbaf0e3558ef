"""Collects what the conformance tests checked, and prints it as a table at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

Checked = Counter[tuple[str, str]]
CHECKED = pytest.StashKey[Checked]()


@pytest.fixture
def checked(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`checked(family, what)` counts one cell that has passed."""
    cells = request.config.stash.setdefault(CHECKED, Counter())

    def count(family: str, what: str) -> None:
        cells[family, what] += 1

    return count


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table: one row for each family, one column for each thing that was checked."""
    cells = config.stash.get(CHECKED, Counter())
    if not cells:
        return
    families = list(dict.fromkeys(family for family, _ in cells))
    columns = list(dict.fromkeys(what for _, what in cells))
    widths = [max(len(what), 5) for what in columns]
    terminalreporter.section("conformance: cells that passed")
    first = max(map(len, families))
    heads = "  ".join(what.rjust(width) for what, width in zip(columns, widths, strict=True))
    terminalreporter.line(f"{'':{first}}  {heads}")
    for family in families:
        numbers = (
            str(cells[family, what] or "-").rjust(width)
            for what, width in zip(columns, widths, strict=True)
        )
        terminalreporter.line(f"{family:{first}}  {'  '.join(numbers)}")
