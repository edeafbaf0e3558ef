"""Shelf: which recorded examples the page may show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iwp.adapters import DEMO
from iwp.errors import ModelError
from iwp.recordings import digest

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.recordings import Recording, Recordings
    from iwp.ui.backend import Backend
    from iwp.ui.examples import Examples


class Shelf:
    """The recordings of the model that answers now.

    Those of another model are passed over, and so are those that were made before the embedded
    model changed.

    Attributes:
        examples: the page's examples.
    """

    def __init__(self, engine: Backend, examples: Examples) -> None:
        self.examples = examples
        self._engine = engine
        made = examples.recordings
        current = made is not None and made.digest == digest.of_model(made.model)
        self._made = made if current else None

    def of(self, file: Path, question: str) -> Recording | None:
        """What was recorded of a question about a file, which is known by its bytes."""
        made = self._now()
        return made.of(digest.of_file(file), question) if made and file.is_file() else None

    def opening(self) -> int | None:
        """The number of the first example with a recording; None where there is none."""
        rows = enumerate(self.examples.asked, 1)
        return next((number for number, asked in rows if self.of(*asked)), None)

    def _now(self) -> Recordings | None:
        """The recordings, if the recorded model is the one that answers now."""
        made = self._made
        if made is None:
            return None
        try:
            if made.digest:  # only the embedded model has one; folders may be called like it
                return made if self._engine.source == DEMO and self._engine.vlm else None
            return made if self._engine.vlm.name == made.model else None
        except ModelError:  # another one is being loaded
            return None
