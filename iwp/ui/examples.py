"""The page's example pictures and clips and their questions, by number."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from gradio import processing_utils

from iwp import recordings
from iwp.recordings import digest

EXAMPLES: Final = Path(__file__).parents[2] / "assets" / "examples"
"""The folder that comes with IWP."""


@dataclass(frozen=True)
class Examples:
    """Pictures and clips in a folder with `examples.json`; none where the file is missing.

    They are counted from 1, as links and people count them. Of a clip `image` is what the list
    shows, and `video` the file that is asked about.
    """

    folder: Path

    @cached_property
    def _entries(self) -> list[dict[str, str]]:
        listing = self.folder / "examples.json"
        if not listing.is_file():
            return []
        entries: list[dict[str, str]] = json.loads(listing.read_text("utf-8"))
        return entries

    @cached_property
    def rows(self) -> tuple[tuple[Path, str], ...]:
        """(picture, question) of each; of a clip the picture that the list shows."""
        return tuple((self.folder / entry["image"], entry["question"]) for entry in self._entries)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """What is asked about: pictures and clips."""
        return tuple(self.folder / entry.get("video", entry["image"]) for entry in self._entries)

    @cached_property
    def asked(self) -> tuple[tuple[Path, str], ...]:
        """(file, question) of each."""
        return tuple((file, asked) for file, (_, asked) in zip(self.files, self.rows, strict=True))

    def is_clip(self, number: int) -> bool:
        """Whether an example is a video."""
        return "video" in self._entries[number - 1]

    @cached_property
    def recordings(self) -> recordings.Recordings | None:
        """What was recorded of them; None where nothing was.

        Raises:
            IWPError: the file of recordings cannot be read.
        """
        return recordings.read(self.folder / recordings.FILE)

    def served(self, number: int, cache: str) -> str:
        """A copy of a picture or clip where the page may show it."""
        return str(processing_utils.save_file_to_cache(self.files[number - 1], cache))

    def question(self, number: int) -> str:
        """The question that stands beside a picture."""
        return self.rows[number - 1][1]

    def another(self, question: str) -> int:
        """A number drawn at random, of an example with another question."""
        others = [n for n, (_, asked) in enumerate(self.rows, 1) if asked != question]
        return random.choice(others or range(1, len(self.rows) + 1))

    def number_of(self, file: str) -> int | None:
        """Which example an uploaded file is, by its bytes; None for a file of one's own."""
        path = Path(file)
        if not path.is_file() or path.stat().st_size not in self._sizes:
            return None
        return self._known.get(digest.of_file(path))

    @cached_property
    def _sizes(self) -> frozenset[int]:
        return frozenset(file.stat().st_size for file in self.files)

    @cached_property
    def _known(self) -> dict[str, int]:
        return {digest.of_file(file): number for number, file in enumerate(self.files, 1)}
