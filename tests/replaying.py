"""A CUDA graph on a CPU: operators are written down once, and carried out again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """The operators inside the block, in order, with the tensors themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, made))
        return made

    @property
    def names(self) -> list[str]:
        """What was called."""
        return [str(func) for func, *_ in self.calls]

    def replay(self) -> None:
        """Call them again; what they made is overwritten."""
        for func, args, kwargs, made in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Taped:
    """Stands in for `iwp.graphs.Recorded`: runs a step once, writes it down, and replays it."""

    def __init__(self, _: torch.device) -> None:
        self._calls = 0
        self._tape = Tape()
        self._made: Tensor | None = None

    def __call__(self, step: Callable[[], Tensor]) -> Tensor:
        self._calls += 1
        if self._calls == 1:
            return step()
        if self._made is None:
            with self._tape:
                self._made = step()
        else:
            self._tape.replay()
        return self._made
