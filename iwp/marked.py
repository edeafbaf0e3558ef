"""Text that a command writes into a Markdown file, between two lines that mark its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iwp.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def begin(name: str, command: str) -> str:
    """The line before the text, which says what renews it."""
    return f"<!-- {name}: written by `{command}` -->"


def end(name: str) -> str:
    """The line after the text."""
    return f"<!-- {name}: end -->"


def written(page: str, name: str, command: str, text: str) -> str:
    """The page with the text in the place of this name, whatever stood there.

    Args:
        page: the file's content.
        name: of the place, without blanks.
        command: what writes the text; the first line names it from now on.
        text: Markdown, without an end of line.

    Raises:
        InputError: the page lacks one of the two lines.
    """
    first, last = begin(name, command), end(name)
    found = re.search(f"<!-- {re.escape(name)}: written by `[^`]*` -->", page)
    stop = page.find(last, found.end()) if found else -1
    if found is None or stop < 0:
        raise InputError(f"The file has to hold the lines {first} and {last}.")
    return f"{page[: found.start()]}{first}\n{text}\n{page[stop:]}"


def write(file: Path, name: str, command: str, text: str) -> None:
    """Renew the text in a file.

    Raises:
        InputError: the file cannot be read or written, or has no place of this name.
    """
    try:
        page = written(file.read_text(encoding="utf-8"), name, command, text)
        file.write_text(page, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The table cannot be written to {file}: {error}.") from None
