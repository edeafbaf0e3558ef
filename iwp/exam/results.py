"""From the ledger's answers to one row of figures for every setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iwp.exam.entries import FULL, Entry
from iwp.exam.statistics import Floats, Resampled, interval, mean_known, relative
from iwp.scenes.exam import KINDS, Record
from iwp.scenes.vocabulary import COARSE, FINE, MOVING

REFERENCE = "iwp"
Row = dict[str, Any]
Times = Mapping[str, tuple[float, float]]
"""Seconds of choosing and of the whole answer, by the name of the setting."""


@dataclass(frozen=True)
class Answers:
    """Questions that every entry has answered, as arrays of Q questions and C entries.

    Attributes:
        entries: the columns.
        kinds: (Q,) kind of question.
        pictures: (Q,) number of the picture.
        photograph: (Q,) whether it has a photograph behind it.
        right: (Q, C) 1.0 where the answer was right.
        kept: (Q, C) share of the visual tokens that was left.
        averages: (Q, C) share of them that a layer read on average.
        evidence: (Q, C) share of the evidence that was left; NaN where there is none.
    """

    entries: tuple[Entry, ...]
    kinds: NDArray[np.str_]
    pictures: NDArray[np.int64]
    photograph: NDArray[np.bool_]
    right: Floats
    kept: Floats
    averages: Floats
    evidence: Floats

    @classmethod
    def of(cls, records: Iterable[Record], entries: Sequence[Entry]) -> Answers:
        """Take the questions that all entries have answered, in their order."""
        names = [entry.name for entry in entries]
        whole = sorted(
            (record for record in records if all(name in record.said for name in names)),
            key=lambda record: record.question,
        )
        said = [[record.said[name] for name in names] for record in whole]

        def table(cells: list[list[float]]) -> Floats:
            return np.array(cells, np.float64).reshape(len(whole), len(names))

        return cls(
            tuple(entries),
            np.array([record.kind for record in whole], np.str_),
            np.array([record.picture for record in whole], np.int64),
            np.array([record.photograph for record in whole], np.bool_),
            table(
                [
                    [one.text == record.answer for one in line]
                    for record, line in zip(whole, said, strict=True)
                ]
            ),
            table([[one.kept for one in line] for line in said]),
            table([[one.layer_average for one in line] for line in said]),
            table(
                [
                    [np.nan if one.evidence is None else one.evidence for one in line]
                    for line in said
                ]
            ),
        )

    def resampled(self) -> Resampled:
        """Draws of the pictures, those with fine and with coarse questions apart."""
        return Resampled(self.pictures, np.isin(self.kinds, FINE).astype(np.int64))

    def column(self, method: str, budget: float) -> int | None:
        """The number of an entry."""
        for number, entry in enumerate(self.entries):
            if (entry.method, entry.budget) == (method, budget):
                return number
        return None


def rows(answers: Answers, times: Times) -> list[Row]:
    """One row an entry; shares of 1, intervals of 95 %, milliseconds."""
    draws = answers.resampled().means(answers.right)
    low, high = interval(draws)
    whole = answers.column(FULL, 1.0)
    shares = (
        relative(answers.right, answers.right[:, whole], answers.kinds)
        if whole is not None
        else np.full(len(answers.entries), np.nan)
    )
    groups = groups_of(answers)
    out = []
    for number, entry in enumerate(answers.entries):
        row: Row = {
            "method": entry.method,
            "budget": None if entry.pruner is None else entry.budget,
            "cut before": entry.layers,
            "questions": len(answers.right),
            "accuracy": answers.right[:, number].mean(),
            "low": low[number],
            "high": high[number],
            "relative": shares[number],
            **_beside(answers, draws, number),
            **{name: answers.right[which, number].mean() for name, which in groups.items()},
            "kept": answers.kept[:, number].mean(),
            "layer average": answers.averages[:, number].mean(),
            "evidence kept": mean_known(answers.evidence[:, number]),
        }
        if entry.name in times:
            choose, all_of_it = times[entry.name]
            row |= {"choose ms": 1000 * choose, "answer ms": 1000 * all_of_it}
            if FULL in times:
                row["answer, of full"] = all_of_it / times[FULL][1]
        out.append({key: _plain(value) for key, value in row.items()})
    return out


def groups_of(answers: Answers) -> dict[str, NDArray[np.bool_]]:
    """Which questions count for which figure, where any do."""
    kinds, photograph = answers.kinds, answers.photograph
    groups = {"coarse": np.isin(kinds, COARSE), "fine": np.isin(kinds, FINE)}
    groups |= {kind: kinds == kind for kind in (*KINDS, *MOVING)}
    groups |= {"on photographs": photograph, "on procedural": ~photograph}
    return {name: which for name, which in groups.items() if which.any()}


def _beside(answers: Answers, draws: Floats, number: int) -> Row:
    """The difference to the reference at the same budget."""
    entry = answers.entries[number]
    reference = answers.column(REFERENCE, entry.budget)
    if reference in (None, number) or entry.pruner is None:
        return {}
    low, high = interval(draws[:, number] - draws[:, reference])
    gap = (answers.right[:, number] - answers.right[:, reference]).mean()
    return {"minus iwp": gap, "minus iwp low": low, "minus iwp high": high}


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else round(float(value), 5)
    return value
