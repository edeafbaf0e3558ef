"""Digests that tell whether a file or the embedded model has changed since a recording."""

from __future__ import annotations

import hashlib
from pathlib import Path

from iwp.adapters import DEMO
from iwp.adapters.loading import DEMO_FOLDER

_CHUNK = 2**20  # bytes; a video may have hundreds of millions


def of_file(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    whole = hashlib.sha256()
    with file.open("rb") as data:
        while chunk := data.read(_CHUNK):
            whole.update(chunk)
    return whole.hexdigest()


def of_folder(folder: Path) -> str:
    """SHA-256 of the names and bytes of a folder's files; Markdown changes no answer."""
    whole = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix != ".md":
            whole.update(f"{file.name}\n{of_file(file)}\n".encode())
    return whole.hexdigest()


def of_model(source: str) -> str:
    """Digest of the embedded model; empty for others, whose files are large or elsewhere.

    Args:
        source: what `iwp.load` takes.
    """
    return of_folder(DEMO_FOLDER) if source == DEMO and DEMO_FOLDER.is_dir() else ""
