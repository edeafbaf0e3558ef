"""The models that a page offers, and what is known of each without loading it."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import metadata_load, snapshot_download

from iwp.adapters import DEMO, check
from iwp.adapters.loading import locate
from iwp.errors import InputError

if TYPE_CHECKING:
    from iwp.settings import Settings

_CARDS = ("README.md", "MODEL_CARD.md")


@dataclass(frozen=True)
class Entry:
    """One model.

    Attributes:
        name: what people are shown, and what the page sends; another one for each model.
        source: what `iwp.load` takes; may be a path of the server.
        nbytes: of its files on this machine; None where they are not here.
        parameters: as its safetensors files count them; None where they do not.
        licence: as its card or its config states it; None where neither does.
    """

    name: str
    source: str
    nbytes: int | None = None
    parameters: int | None = None
    licence: str | None = None

    @property
    def label(self) -> str:
        """Name and facts on one line."""
        facts = (
            _counted(self.parameters),
            "not on this machine yet" if self.nbytes is None else _sized(self.nbytes),
            self.licence and f"licence {self.licence}",
        )
        return f"{self.name} ({', '.join(fact for fact in facts if fact)})"


@dataclass(frozen=True)
class Catalogue:
    """The models that may be asked for: nothing else is loaded, whatever a browser sends."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, settings: Settings) -> Catalogue:
        """The embedded model, the one that the page starts with, and those it names beside them.

        Without names the page keeps its model.

        Raises:
            ModelError: a name is none of a model, or a folder holds none that IWP knows.
        """
        wanted: tuple[str, ...] = (settings.model,)
        if settings.models:
            wanted = (DEMO, settings.model, *settings.models)
        own = _place(settings.model)
        found: dict[str, Entry] = {}
        for source in wanted:
            place, name = _place(source), locate(source)[1]
            if place not in found:
                names = {entry.name for entry in found.values()}
                spelt = settings.model if place == own else source  # an engine's `source` is too
                unlike, revision = _unlike(name, names), settings.revision_of(spelt)
                found[place] = _entry(spelt, unlike, revision, described=len(wanted) > 1)
        return cls(tuple(found.values()))

    def source(self, name: Any) -> str:
        """What `iwp.load` takes for a name that a browser sent.

        Raises:
            InputError: it is not on the list.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry.source
        raise InputError("This page does not offer that model; choose one from the list.")

    def name(self, source: str) -> str:
        """What people are shown for a model of the list."""
        return next(entry.name for entry in self.entries if entry.source == source)


def _place(source: str) -> str:
    """The same for all spellings of one folder."""
    place, _ = locate(source)
    return str(Path(place).resolve()) if Path(place).is_dir() else place


def _entry(source: str, name: str, revision: str, *, described: bool) -> Entry:
    if not described:
        return Entry(name, source)
    folder = _folder(source, revision)
    if folder is None:
        return Entry(name, source)
    check(source, revision)
    files = [file for file in folder.rglob("*") if file.is_file()]
    return Entry(
        name=name,
        source=source,
        nbytes=sum(file.stat().st_size for file in files),
        parameters=sum(map(_parameters, folder.glob("*.safetensors"))) or None,
        licence=_licence(folder),
    )


def _folder(source: str, revision: str) -> Path | None:
    """Where a model's files are; None where they are not on this machine."""
    place, _ = locate(source)
    if Path(place).is_dir():
        return Path(place)
    with suppress(Exception):  # not downloaded yet, or only in part
        return Path(snapshot_download(place, revision=revision or None, local_files_only=True))
    return None


def _parameters(file: Path) -> int:
    """Numbers in a safetensors file, by its header; 0 where that cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError), file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(min(size, 100_000_000)))
        return sum(
            math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"
        )
    return 0


def _licence(folder: Path) -> str | None:
    for card in _CARDS:
        with suppress(Exception):  # cards are written by hand
            stated = (metadata_load(folder / card) or {}).get("license")
            if stated:
                return str(stated)
    with suppress(OSError, ValueError):
        stated = json.loads((folder / "config.json").read_text("utf-8")).get("license")
        return str(stated) if stated else None
    return None


def _unlike(name: str, taken: set[str]) -> str:
    """The name, with a number where another model has it."""
    number, unlike = 1, name
    while unlike in taken:
        number += 1
        unlike = f"{name} {number}"
    return unlike


def _counted(parameters: int | None) -> str | None:
    if parameters is None:
        return None
    if parameters < 1e6:
        return f"{parameters:,} parameters"
    if parameters < 1e9:
        return f"{parameters / 1e6:.1f} M parameters"
    return f"{parameters / 1e9:.1f} B parameters"


def _sized(nbytes: int) -> str:
    if nbytes < 1e6:
        return f"{nbytes / 1e3:.0f} kB"
    return f"{nbytes / 1e6:.1f} MB" if nbytes < 1e9 else f"{nbytes / 1e9:.1f} GB"
