"""The paper's ablation tables as settings of IWP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iwp.errors import InputError

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """One ablation: rows that differ in IWP's options.

    Attributes:
        name: the paper's number, or a word for a table that the paper lacks.
        title: what is varied.
        rows: a label and the options that it changes, each.
        budgets: fractions to keep unless others are asked for.
    """

    name: str
    title: str
    rows: tuple[tuple[str, Options], ...]
    budgets: tuple[float, ...] = (0.353, 0.111)


def _magnitude(label: str, magnitude: str, query: str = "text") -> tuple[str, Options]:
    return label, {"magnitude": magnitude, "query": query, "duplication": "none"}


def _varied(option: str, *values: Any, label: str | None = None) -> list[tuple[str, Options]]:
    return [(f"{label or option} {value}", {option: value}) for value in values]


_MAGNITUDES = (
    _magnitude("value norm", "value_norm"),
    _magnitude("key norm", "key_norm"),
    _magnitude("update norm", "update_norm"),
    _magnitude("kernel, image queries", "kernel", "image"),
    _magnitude("kernel, text queries", "kernel"),
    _magnitude("kernel, last query", "kernel", "last"),
    _magnitude("kernel x value, image queries", "kernel_value", "image"),
    _magnitude("kernel x value, text queries", "kernel_value"),
)
_ROPE = tuple(
    (
        f"magnitude {'with' if magnitude else 'without'}, "
        f"duplication {'with' if duplication else 'without'}",
        {"rope_magnitude": magnitude, "rope_duplication": duplication},
    )
    for magnitude, duplication in ((False, True), (True, True), (False, False), (True, False))
)
_SCALES = tuple(
    (f"{bandwidth}, {normalizer}", {"bandwidth": bandwidth, "normalizer": normalizer})
    for bandwidth in ("sqrt_d", "median")
    for normalizer in ("eta", "visual", "none")
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("2", "Information magnitude alone", _MAGNITUDES),
        Table(
            "3",
            "What says how alike two tokens are",
            tuple(_varied("duplication", "value", "hidden", "key", "kernel_key", "dual")),
        ),
        Table(
            "E.1",
            "Magnitude alone, and with duplication",
            (("magnitude alone", {"duplication": "none"}), ("with duplication", {})),
            budgets=(0.353, 0.222, 0.111, 0.05),
        ),
        Table("E.2", "Rotary positions", _ROPE),
        Table("E.3", "The layer before which is cut", tuple(_varied("layer", 0, 2, 4, 6, 8, 10))),
        Table(
            "E.5",
            "Progressive Chunked MMR",
            (
                *_varied("penalty", 1.0, 5.0, 10.0),
                *_varied("growth", 1, 2, 4, 8),
                *_varied("chunk", 1, 2, 8, 64),
            ),
        ),
        Table("scale", "Width of the kernel, and how heads are made comparable", _SCALES),
    )
}


def find(names: list[str]) -> list[Table]:
    """The tables of these names; "all" stands for every one.

    Raises:
        InputError: there is no such table.
    """
    if "all" in names:
        return list(TABLES.values())
    for name in names:
        if name not in TABLES:
            raise InputError(f"There is no table {name!r}: {', '.join(TABLES)} and all exist.")
    return [TABLES[name] for name in names]
