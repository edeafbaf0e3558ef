"""The ledger of an exam: answers as JSON lines, from which a stopped exam goes on."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from iwp.errors import InputError
from iwp.exam.entries import method_of
from iwp.scenes.exam import Record, Said

Stamp = Mapping[str, Any]
"""What all answers of one ledger have in common, as JSON."""


def weights_of(model: torch.nn.Module) -> str:
    """A short hash of a model's weights, their names and types."""
    found = sha256()
    for name, tensor in model.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]


class Ledger:
    """A folder of JSON lines. Every process writes a file of its own and reads all.

    A line is a stamp, the recipes of settings by their names, or a question with answers. A
    question may have several lines, with the answers of other settings.
    """

    def __init__(self, folder: Path, stamp: Stamp, recipes: Mapping[str, str]) -> None:
        """Read what is there.

        Args:
            folder: of the ledger; may be missing.
            stamp: of the exam that is asked for.
            recipes: what the settings that take part are, by name.

        Raises:
            InputError: the ledger is of another exam, or of other methods of the same names.
        """
        self._folder, self._stamp, self._recipes = folder, dict(stamp), dict(recipes)
        self.records: dict[int, Record] = {}
        for path in _files(folder):
            for line in _lines(path):
                self._read(line)

    @property
    def done(self) -> dict[int, Collection[str]]:
        """The names of the settings that have answered, by question."""
        return {number: record.said.keys() for number, record in self.records.items()}

    def writer(self, part: int) -> Writer:
        """A file for the answers of one process."""
        head = [{"stamp": self._stamp}, {"recipes": self._recipes}]
        return Writer(self._folder / f"part-{part}.jsonl", head)

    def _read(self, line: dict[str, Any]) -> None:
        if "stamp" in line:
            changed = [key for key, value in self._stamp.items() if line["stamp"].get(key) != value]
            if changed:
                raise InputError(
                    f"The answers in {self._folder} were given with another "
                    f"{' and '.join(changed)}: name another folder, or remove this one."
                )
        elif "recipes" in line:
            for name, recipe in line["recipes"].items():
                if self._recipes.get(name, recipe) != recipe:
                    raise InputError(
                        f"The answers of {name} in {self._folder} were given by {recipe}, not by "
                        f"{self._recipes[name]}: add --again {method_of(name)} to ask it anew."
                    )
        else:
            said = {name: Said(*values) for name, values in line.pop("said").items()}
            known = self.records.get(line["question"])
            if known is not None:
                said = {**known.said, **said}
            self.records[line["question"]] = Record(**line, said=said)


class Writer:
    """Appends to one file of a ledger; a line is on the disk when `add` returns."""

    def __init__(self, path: Path, head: list[dict[str, Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        if not path.read_bytes().endswith(b"\n") and path.stat().st_size:
            self._file.write("\n")  # the last line was cut off when the exam was stopped
        for line in head:
            self._write(line)

    def add(self, record: Record) -> None:
        """Write down a question."""
        said = {name: list(asdict(one).values()) for name, one in record.said.items()}
        self._write({**asdict(replace(record, said={})), "said": said})

    def close(self) -> None:
        """No more answers."""
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(_text(line))
        self._file.flush()


def forget(folder: Path, methods: Collection[str]) -> None:
    """Take all answers of these methods, at whatever budget, out of a ledger.

    Times go for all: they are measured together.
    """

    def stays(name: str) -> bool:
        return method_of(name) not in methods

    for path in _files(folder):
        lines = list(_lines(path))
        for line in lines:
            for key in {"said", "recipes"} & line.keys():
                line[key] = {name: value for name, value in line[key].items() if stays(name)}
        new = path.with_suffix(".new")
        new.write_text("".join(_text(line) for line in lines), encoding="utf-8")
        new.replace(path)
    for path in folder.glob("times-*.json"):
        path.unlink()


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.jsonl"))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for text in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):  # cut off when the exam was stopped
            yield json.loads(text)


def _text(line: Mapping[str, Any]) -> str:
    return json.dumps(line, separators=(",", ":")) + "\n"
