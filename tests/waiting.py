"""Where the host would wait for a device, found on a CPU: what came from the device is marked."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Operators whose result, or its shape, the host has to know.
WAITS = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2", "unique_dim"}


class Marked(TorchDispatchMode):
    """Follows tensors that would lie on the device through all operators.

    Attributes:
        waits: operators that would have waited for one of them.
        transfers: shapes of those that were copied to the host, by `cpu()` or `tolist()`.
    """

    def __init__(self, *there: Tensor) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.transfers: list[tuple[int, ...]] = []
        self._marked = {_storage(one): one for one in there}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        if any(map(self._is_marked, tree_leaves((args, kwargs)))):
            if name in WAITS or (name in ("index", "index_put") and self._by_mask(args[1])):
                self.waits.append(name)
            made = func(*args, **(kwargs or {}))
            # Kept, so that no other tensor gets the storage's address.
            self._marked |= {_storage(one): one for one in tree_leaves(made) if _is_tensor(one)}
            return made
        return func(*args, **(kwargs or {}))

    def __enter__(self) -> Any:
        def copied(tensor: Tensor) -> Tensor:
            if not self._is_marked(tensor):
                return tensor
            self.transfers.append(tuple(tensor.shape))
            with torch.utils._python_dispatch._disable_current_modes():
                return tensor.clone()

        def listed(tensor: Tensor) -> Any:
            with torch.utils._python_dispatch._disable_current_modes():
                return tolist(copied(tensor))

        tolist = Tensor.tolist
        self._patches = [
            patch.object(Tensor, "cpu", copied),
            patch.object(Tensor, "tolist", listed),
        ]
        for one in self._patches:
            one.start()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for one in self._patches:
            one.stop()

    def _is_marked(self, value: Any) -> bool:
        return _is_tensor(value) and _storage(value) in self._marked

    def _by_mask(self, indices: Any) -> bool:
        return any(
            self._is_marked(one) and one.dtype in (torch.bool, torch.uint8) for one in indices
        )


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
