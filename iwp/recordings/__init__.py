"""Comparisons that were made earlier and are shown without a model: data, file, digests."""

from __future__ import annotations

from iwp.recordings.recording import Circumstances, Recording, Recordings
from iwp.recordings.storage import FILE, read, write

__all__ = ["FILE", "Circumstances", "Recording", "Recordings", "read", "write"]
