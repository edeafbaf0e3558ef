"""When every frame of a video is shown, read from its packets without decoding any."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import av
import numpy as np
from numpy.typing import NDArray

Stamps: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Timeline:
    """The presentation times of a video's frames. A stamp is a time in units of `unit` seconds.

    Attributes:
        stamps: (n,) ascending stamps of all frames.
        keys: (k,) ascending stamps of those that can be decoded without any before them.
        seeks: (k,) what to ask the file for to come to each of them.
        start: what to ask it for to come to the beginning.
        unit: seconds.
        reached: seconds from the file's start to the end of its last whole packet, of any kind.
        declared: seconds that the file says it lasts; 0 where it does not say.
    """

    stamps: Stamps
    keys: Stamps
    seeks: Stamps
    start: int
    unit: Fraction
    reached: float
    declared: float

    @property
    def seconds(self) -> float:
        """How long the video is shown, the last frame as long as the others on average."""
        n = len(self.stamps)
        return self.time(int(self.stamps[-1])) * n / max(n - 1, 1)

    def time(self, stamp: int) -> float:
        """Seconds since the first frame."""
        return float((stamp - int(self.stamps[0])) * self.unit)

    def spread(self, count: int) -> list[int]:
        """Stamps of the frames nearest to `count` moments, the first frame's to the last one's.

        Ascending, each once: fewer where the video has fewer or shows one for long. Between two
        frames the earlier one counts.
        """
        moments = np.linspace(self.stamps[0], self.stamps[-1], count)
        later = np.searchsorted(self.stamps, moments).clip(0, len(self.stamps) - 1)
        earlier = (later - 1).clip(0)
        closer = moments - self.stamps[earlier] <= self.stamps[later] - moments
        chosen: list[int] = np.unique(self.stamps[np.where(closer, earlier, later)]).tolist()
        return chosen

    def key_before(self, stamp: int) -> int:
        """Which of the keys this frame is decoded from, -1 for the file's beginning."""
        return int(np.searchsorted(self.keys, stamp, side="right")) - 1

    def decoded(self, wanted: list[int]) -> int:
        """How many frames have to be decoded to get these."""
        last = {self.key_before(stamp): stamp for stamp in wanted}
        firsts = [self.keys[key] if key >= 0 else self.stamps[0] for key in last]
        ends = np.searchsorted(self.stamps, list(last.values()))
        return int((ends - np.searchsorted(self.stamps, firsts) + 1).sum())


def read(container: Any, stream: Any, *, independent: bool = True) -> Timeline:
    """Walk over all packets; what lies behind a damaged place does not count.

    Args:
        container: PyAV's, at its beginning.
        stream: the pictures.
        independent: whether to believe the file's key frames; else all is decoded from the first.
    """
    stamps: list[int] = []
    seeks: dict[int, int] = {}
    begins: list[int] = []
    end = Fraction(0)
    # An AVI's index knows when frames are decoded and not when they are shown.
    decoding = container.format.name == "avi"
    try:
        for packet in container.demux():
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is None or packet.is_corrupt:
                continue
            end = max(end, (stamp + (packet.duration or 0)) * packet.time_base)
            if packet.stream_index != stream.index or packet.is_discard:
                continue
            stamps.append(stamp)
            begins.append(stamp if packet.dts is None else packet.dts)
            if packet.is_keyframe and (independent or not seeks):
                seeks[stamp] = begins[-1] if decoding else stamp
    except av.FFmpegError:
        pass  # the file is cut off here
    keys = np.array(sorted(seeks), dtype=np.int64)
    return Timeline(
        stamps=np.unique(np.array(stamps, dtype=np.int64)),
        keys=keys,
        seeks=np.array([seeks[key] for key in keys.tolist()], dtype=np.int64),
        start=min(begins, default=0),
        unit=stream.time_base,
        reached=float(end - Fraction(container.start_time or 0, av.time_base)),
        declared=_declared(container, stream),
    )


def _declared(container: Any, stream: Any) -> float:
    if container.format.name == "avi" and stream.average_rate:
        # FFmpeg counts as its duration what is left of it.
        return float(stream.frames / stream.average_rate)
    return float((container.duration or 0) / av.time_base)
