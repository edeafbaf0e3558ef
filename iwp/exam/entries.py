"""Who takes part in the exam: words such as `iwp:layer=2` and budgets to settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from iwp import options
from iwp.adapters.base import VLM
from iwp.engine import choose_method
from iwp.errors import InputError, IWPError
from iwp.pruners import PRUNERS, Pruner
from iwp.scenes.evidence import Oracle
from iwp.scenes.exam import Setting
from iwp.types import Convention

FULL, ORACLE = "full", "oracle"
_COMMAS = re.compile(r",(?![^\[]*\])")  # not those of a list
_AVERAGE = " on average"
_PROBES = (200, 1000)  # numbers of visual tokens at which a layer average has to be within reach


@dataclass(frozen=True)
class Entry(Setting):
    """A method at a budget.

    Attributes:
        method: the words that name it.
        budget: the fraction that was asked for, in the exam's convention.
        layers: the decoder layers before which it cuts, with spaces between; none where it keeps
            everything.
    """

    method: str = FULL
    budget: float = 1.0
    layers: str = ""

    @property
    def recipe(self) -> str:
        """Everything that an answer depends on."""
        return (
            f"{self.pruner!r} at layer average {self.average}"
            if self.average
            else repr(self.pruner)
        )


def entries(
    vlm: VLM, words: str, budgets: Sequence[float], convention: Convention = "cut"
) -> tuple[list[Entry], dict[str, str]]:
    """Every method at every budget, "full" once.

    Args:
        vlm: the model that takes the exam.
        words: methods with commas between, such as `full,iwp,iwp:layer=2:bandwidth=sqrt_d`; "all"
            is full, oracle and every method.
        budgets: fractions.
        convention: what the budgets are: what a cut leaves, or the layer average.

    Returns:
        The entries, and by name what does not take part, each with the reason.

    Raises:
        InputError: there is no method or option of a name.
    """
    found: dict[str, Entry] = {}
    refused: dict[str, str] = {}
    for word in _words(words):
        name, given = _parsed(word)
        if name == FULL:
            found[FULL] = Entry(FULL, None)
            continue
        for budget in budgets:
            label = f"{word} {_share(budget)}" + (_AVERAGE if convention == "average" else "")
            try:
                pruner = _pruner(vlm, name, budget, given)
                average = budget if convention == "average" else None
                entry = Entry(label, pruner, average, word, budget)
                before = [_before(entry, n, len(vlm.adapter.decoder_layers)) for n in _PROBES]
            except IWPError as error:
                refused[label] = str(error)
            else:
                found[label] = replace(entry, layers=before[-1])
    return list(found.values()), refused


def names_in(words: str) -> list[str]:
    """The methods that words name, with commas between."""
    return [part.strip() for part in _COMMAS.split(words)]


def method_of(name: str) -> str:
    """The method of an entry's name."""
    if name == FULL:
        return name
    return name.removesuffix(_AVERAGE).rpartition(" ")[0]


def check_labels(budgets: Sequence[float]) -> None:
    """Hold budgets against each other.

    Raises:
        InputError: two of them would be one in the tables and in the ledger.
    """
    known: dict[str, float] = {}
    for budget in budgets:
        label = _share(budget)
        if label in known:
            raise InputError(
                f"The budgets {known[label]:g} and {budget:g} are both {label}: name one of them."
            )
        known[label] = budget


def _share(budget: float) -> str:
    return f"{budget:.1%}"


def _before(entry: Entry, n: int, layers: int) -> str:
    """The layers before which an entry drops any of n visual tokens."""
    pruner, left, cuts = entry.at(n, layers), n, []
    for layer, count in () if pruner is None else pruner.plan(n):
        if count < left and layer < layers:
            cuts.append(str(layer))
        left = count
    return " ".join(cuts)


def _words(words: str) -> list[str]:
    out: list[str] = []
    for word in names_in(words):
        out += [FULL, ORACLE, *PRUNERS] if word == "all" else [word]
    return list(dict.fromkeys(out))


def _parsed(word: str) -> tuple[str, dict[str, Any]]:
    name, *parts = word.split(":")
    if name not in (FULL, ORACLE, *PRUNERS):
        exist = ", ".join((FULL, ORACLE, *PRUNERS))
        raise InputError(f"There is no method {name!r}: {exist} and all exist.")
    given = options.parse(parts)
    if given and name == FULL:
        raise InputError(f"{FULL} reads every token and has no options.")
    if name != FULL:
        options.check_options(Oracle if name == ORACLE else PRUNERS[name], given)
    return name, given


def _pruner(vlm: VLM, name: str, budget: float, given: dict[str, Any]) -> Pruner:
    if name == ORACLE:
        return Oracle(budget, int(given.get("layer", vlm.pruner.get("layer", Oracle.layer))))
    return choose_method(vlm, budget, name, options=given)
