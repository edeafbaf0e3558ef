"""A method's settings from words such as `bandwidth=median`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from iwp.errors import InputError


def parse(words: Iterable[str]) -> dict[str, Any]:
    """Names and values of OPTION=VALUE words; a value that is not JSON stays text.

    Raises:
        InputError: a word has no name or no value.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        if not name.strip() or not value.strip():
            raise InputError(f"An option looks like bandwidth=median, not {word!r}.")
        try:
            found[name.strip()] = json.loads(value.strip().lower())
        except json.JSONDecodeError:
            found[name.strip()] = value.strip()
    return found
