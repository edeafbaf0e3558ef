"""Asking the Hub whether a file is there; an answer that does not come is told by who asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_REQUESTS = logging.getLogger("huggingface_hub.utils._http")
_RETRIES = ("thrown while requesting", "[Retry ")


@contextmanager
def quietly() -> Iterator[None]:
    """Leave out huggingface_hub's warnings that it asks again, inside the block and this thread."""
    here = threading.get_ident()

    def shown(record: logging.LogRecord) -> bool:
        return record.thread != here or not any(part in record.getMessage() for part in _RETRIES)

    _REQUESTS.addFilter(shown)
    try:
        yield
    finally:
        _REQUESTS.removeFilter(shown)
