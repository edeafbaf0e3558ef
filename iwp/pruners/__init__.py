"""The pruning methods, by name. A new method is one file and one line here."""

from __future__ import annotations

from iwp.pruners.base import LayerView, Pruner
from iwp.pruners.iwp import IWP
from iwp.pruners.random import Random
from iwp.pruners.uniform import Uniform

PRUNERS: dict[str, type[Pruner]] = {method.name: method for method in (IWP, Random, Uniform)}

__all__ = ["IWP", "PRUNERS", "LayerView", "Pruner", "Random", "Uniform"]
