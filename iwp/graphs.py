"""A step that is recorded once as a CUDA graph, and then replayed without the host."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import torch
from torch import Tensor

_recording = threading.Lock()  # torch records one graph at a time


class Recorded:
    """Calls a step: the first time as it is, then by replaying what it did.

    Where there is no GPU, or the recording fails, the step goes on as it is.

    Args:
        device: where the step's tensors are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._graph: torch.cuda.CUDAGraph | None = None
        self._made: Tensor | None = None  # what a replay overwrites
        self._fresh = device.type == "cuda"

    @property
    def whole(self) -> bool:
        """Whether the calls are as fast as the device allows: replays, where it is a GPU."""
        return self._graph is not None or self._device.type != "cuda"

    def __call__(self, step: Callable[[], Tensor]) -> Tensor:
        """What the step returns; the next call may overwrite it.

        Args:
            step: always the same one. It reads and writes the same tensors every time, and neither
                asks the device for a number nor needs one of the host's.
        """
        if self._graph is not None and self._made is not None:
            self._graph.replay()
            return self._made
        if not self._fresh:
            return step()
        self._fresh = False
        with torch.cuda.device(self._device):
            side = _side_stream(torch.cuda.current_device())
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                first = step()  # libraries set themselves up, which cannot be recorded
            torch.cuda.current_stream().wait_stream(side)
            torch.cuda.synchronize()
            try:
                self._made, self._graph = _recorded(step, side)
            except Exception as error:
                tell("Decoding goes on without a CUDA graph", error)
        return first


def tell(what: str, error: Exception) -> None:
    """Warn that something slower happens, and why."""
    warnings.warn(f"{what}: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)


def _recorded(
    step: Callable[[], Tensor], stream: torch.cuda.Stream
) -> tuple[Tensor, torch.cuda.CUDAGraph]:
    """A graph of one step, which it does not carry out, and what a replay of it returns.

    `torch.cuda.graph` would give all cached memory back first, and the next prefill would be timed
    getting it again.
    """
    graph = torch.cuda.CUDAGraph()
    with _recording, torch.cuda.stream(stream):
        # Other threads of a page may use the device meanwhile.
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            made = step()
        except Exception:
            with suppress(RuntimeError):  # it only knows that something went wrong
                graph.capture_end()
            raise
        graph.capture_end()
    return made, graph


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """The stream on which steps are recorded; one, as libraries keep memory for each that is used.

    Args:
        device: its index; the current one.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
