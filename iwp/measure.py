"""Seconds, bytes and threads of a run: synchronised with the device, one thing at a time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

_SMALL_MODEL = 50_000_000  # parameters


def synchronise(device: torch.device) -> None:
    """Waits until the device has done everything that was handed to it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Stopwatch:
    """Time since it was made. Reading it synchronises with the device first."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        synchronise(device)
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Seconds from making the stopwatch until the device is idle."""
        synchronise(self._device)
        return time.perf_counter() - self._start


def kv_bytes(cache: Any) -> int:
    """Bytes of all key and value tensors in a transformers cache."""
    layers = [layer for layer in cache.layers if layer.is_initialized]
    return sum(int(layer.keys.nbytes) + int(layer.values.nbytes) for layer in layers)


def gpus_of(model: nn.Module) -> list[torch.device]:
    """The CUDA devices that hold the model's parameters."""
    return sorted({p.device for p in model.parameters() if p.is_cuda}, key=str)


def reset_peak(model: nn.Module) -> None:
    """Starts a new measurement of the peak memory of the model's devices."""
    for device in gpus_of(model):
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(model: nn.Module) -> int | None:
    """Most bytes in use since `reset_peak`, the model's devices together.

    Devices may reach theirs at different times. None where nothing counts them.
    """
    gpus = gpus_of(model)
    return sum(torch.cuda.max_memory_allocated(device) for device in gpus) if gpus else None


def cpu_threads(model: nn.Module, device: torch.device, wanted: int = 0) -> int:
    """CPU threads for a run: `wanted`, or when that is 0 what suits the model.

    A small model's steps are so short that threads spend them waiting for each other, badly so
    on a machine that has other work to do; it gets one. Everything else keeps torch's number.
    """
    if wanted:
        return wanted
    if device.type == "cpu" and sum(p.numel() for p in model.parameters()) < _SMALL_MODEL:
        return 1
    return torch.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Computes with `count` CPU threads inside the block. The number is torch's own, per thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_name(device: torch.device) -> str:
    """The device for people: "cpu", or "cuda:0 (NVIDIA H200)"."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
