"""Most bytes that a computation holds at once, counted by the device or tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import finalize

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Held(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own lacks types
    """Counts the tensors that are made inside the block, where no device counts them.

    What an operator uses within itself is not seen. Tensors that were there before do not count.

    Attributes:
        now: bytes that are alive.
        peak: the most that were alive at once.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run the operator and count what it has made."""
        for storage in _storages((args, kwargs)):
            self._know(storage, 0)  # a view of a weight is no new memory
        made = func(*args, **(kwargs or {}))
        for storage in _storages(made):
            self._know(storage, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return made

    def _know(self, storage: UntypedStorage, size: int) -> None:
        if storage._cdata not in self._known:
            self._known.add(storage._cdata)
            self.now += size
            finalize(storage, self._forget, storage._cdata, size).atexit = False

    def _forget(self, storage: int, size: int) -> None:
        self._known.discard(storage)
        self.now -= size


def peak_bytes(gpus: Sequence[torch.device], work: Callable[[], Any]) -> int:
    """Most bytes that `work()` holds at once, beyond what was held before.

    The GPUs' own counts together where there are any (they may reach them at different times);
    elsewhere that of `Held`, which slows the work down.
    """
    if not gpus:
        held = Held()
        with held:
            work()
        return held.peak
    for gpu in gpus:
        torch.cuda.synchronize(gpu)
        torch.cuda.reset_peak_memory_stats(gpu)
    before = sum(torch.cuda.memory_allocated(gpu) for gpu in gpus)
    work()
    for gpu in gpus:
        torch.cuda.synchronize(gpu)
    return sum(torch.cuda.max_memory_allocated(gpu) for gpu in gpus) - before


def _storages(values: Any) -> Iterable[UntypedStorage]:
    return (leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
