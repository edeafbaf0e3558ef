"""Settings of methods and answers: from words such as `bandwidth=median`, and what each may be."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from iwp.errors import InputError
from iwp.types import Decoding

HOTTEST = 2.0
"""Above this temperature answers are noise."""

_LARGEST = 2**63 - 1  # what torch takes for a whole number


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
        except ValueError:  # also for a number of thousands of digits
            found[name.strip()] = value.strip()
    return found


def check_options(method: type, given: Mapping[str, Any]) -> None:
    """Hold options against a method's own, the budget apart, and values against their defaults.

    Args:
        method: a dataclass whose fields have defaults.
        given: values by the names of options; whole numbers count as numbers too.

    Raises:
        InputError: there is no such option, or its value has another type or is not finite.
    """
    known = {field.name: type(field.default) for field in fields(method) if field.name != "budget"}
    for name, value in given.items():
        if name not in known:
            listed = ", ".join(sorted(known))
            raise InputError(f"{method.__name__} has no option {name!r}: it has {listed}.")
        if wanted := _missed(known[name], value):
            raise InputError(f"{method.__name__} takes {wanted}, not {name}={value!r}.")


def check_decoding(max_new_tokens: Any, temperature: Any, *, most: int | None = None) -> Decoding:
    """How answers are to be written, if it can be done.

    Args:
        max_new_tokens: longest answer.
        temperature: 0 for the likeliest tokens, at most `HOTTEST`.
        most: the most tokens that are allowed, if there is a limit.

    Raises:
        InputError: a value is no number, or out of bounds.
    """
    if type(max_new_tokens) is not int or max_new_tokens < 1:
        raise InputError(f"An answer needs at least 1 token, not {max_new_tokens!r}.")
    if most is not None and max_new_tokens > most:
        raise InputError(f"An answer has at most {most:,} tokens here, not {max_new_tokens:,}.")
    if _missed(float, temperature) or not 0 <= temperature <= HOTTEST:
        raise InputError(f"A temperature lies between 0 and {HOTTEST:g}, not at {temperature!r}.")
    return Decoding(max_new_tokens, float(temperature))


def spelled(method: Any, *, defaults: bool = True) -> str:
    """A method as Python writes it, without its budget.

    Args:
        method: an instance of a dataclass whose fields have defaults.
        defaults: whether options are told that have their default.
    """
    shown = [
        f"{field.name}={value!r}"
        for field in fields(method)
        if (value := getattr(method, field.name)) != field.default or defaults
        if field.name != "budget"
    ]
    return f"{type(method).__name__}({', '.join(shown)})"


def _missed(kind: type, value: Any) -> str | None:
    """What a value of this kind has to be, if `value` is not."""
    if kind is tuple:
        numbers = isinstance(value, list | tuple) and not any(_missed(int, one) for one in value)
        return None if numbers else "a list of whole numbers"
    if kind is bool:
        return None if isinstance(value, bool) else "true or false"
    if kind is int:
        whole = type(value) is int and abs(value) <= _LARGEST
        return None if whole else "a whole number"
    if kind is float:
        number = type(value) is float or (type(value) is int and abs(value) <= _LARGEST)
        return None if number and math.isfinite(value) else "a finite number"
    return None if isinstance(value, kind) else "text"
