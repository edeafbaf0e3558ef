"""Tells whether code makes the host wait for the device, on a machine without one."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class NoWaiting(TorchFunctionMode):
    """Counts calls and refuses those whose result the host needs."""

    calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        name = getattr(func, "__name__", "")
        assert name not in ("item", "nonzero", "tolist", "__bool__", "masked_select", "cpu")
        assert name not in ("__int__", "__float__", "unique")
        if name in ("__getitem__", "__setitem__"):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            masks = [i for i in index if isinstance(i, torch.Tensor) and i.dtype == torch.bool]
            assert not masks
        return func(*args, **(kwargs or {}))
