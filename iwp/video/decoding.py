"""Some frames of a video, each decoded from the key frame before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import av

from iwp.video.timeline import Timeline


def frames(
    container: Any, stream: Any, timeline: Timeline, wanted: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """Stamp and decoded frame for each wanted stamp; only one frame is held at a time.

    Where a frame cannot be decoded, the nearest that can takes its place, if there is one.

    Args:
        container: PyAV's, wherever it is.
        stream: its pictures.
        timeline: when they are shown.
        wanted: ascending stamps.
    """
    before = None
    for key, group in groupby(wanted, key=timeline.key_before):
        for stamp, frame in _from_key(container, stream, timeline, key, list(group)):
            if before is None or stamp > before:
                yield stamp, frame
            before = stamp


def _from_key(
    container: Any, stream: Any, timeline: Timeline, key: int, wanted: list[int]
) -> Iterator[tuple[int, Any]]:
    decoded = _decoded(container, stream, int(timeline.seeks[key]) if key >= 0 else timeline.start)
    found = next(decoded, None)
    if found is None or found[0] > wanted[0]:
        # The file's index leads behind the key frame, or nowhere: all from the beginning.
        decoded = _decoded(container, stream, timeline.start)
        found = next(decoded, None)
    last = None
    while found is not None:
        while wanted and found[0] >= wanted[0]:
            target = wanted.pop(0)
            nearer = last is not None and target - last[0] <= found[0] - target
            yield last if nearer and last is not None else found
        if not wanted:
            return
        last, found = found, next(decoded, None)
    if last is not None:
        yield last


def _decoded(container: Any, stream: Any, start: int) -> Iterator[tuple[int, Any]]:
    """Stamps and frames as they are shown, from a stamp on; damaged packets give none."""
    try:
        container.seek(start, stream=stream)
    except av.FFmpegError:
        return
    packets = container.demux(stream)
    packet: Any = True
    while packet is not None:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            packet = None  # the file is cut off here
        try:
            # No packet: what the decoder still holds.
            made = stream.codec_context.decode(packet)
        except av.FFmpegError:
            continue
        for frame in made:
            stamp = frame.dts if frame.pts is None else frame.pts
            if stamp is not None:
                yield stamp, frame
