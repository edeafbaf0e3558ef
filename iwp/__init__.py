"""Training-free pruning of visual tokens in vision-language models.

Importing this package is cheap: torch and transformers are loaded when a name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iwp import dual, mmr
    from iwp.adapters import load
    from iwp.budget import keep_count
    from iwp.calls import compare, rank
    from iwp.errors import IWPError
    from iwp.pruners import IWP, PRUNERS
    from iwp.pruning import prune
    from iwp.types import Trace

__version__ = "0.1.0"

__all__ = [
    "IWP",
    "PRUNERS",
    "IWPError",
    "Trace",
    "compare",
    "dual",
    "keep_count",
    "load",
    "mmr",
    "prune",
    "rank",
]

_HOMES = {
    "IWP": "pruners",
    "PRUNERS": "pruners",
    "IWPError": "errors",
    "Trace": "types",
    "compare": "calls",
    "keep_count": "budget",
    "load": "adapters",
    "prune": "pruning",
    "rank": "calls",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"iwp.{_HOMES[name]}"), name)
    if name in ("dual", "mmr"):
        return import_module(f"iwp.{name}")
    raise AttributeError(f"module 'iwp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
