"""The pruning methods, by name. A new method is a file, and here an import and an entry."""

from __future__ import annotations

from iwp.pruners.base import Choice, LayerView, Pruner
from iwp.pruners.cdpruner import CDPruner
from iwp.pruners.dart import DART
from iwp.pruners.divprune import DivPrune
from iwp.pruners.fastv import FastV
from iwp.pruners.handpicked import HandPicked
from iwp.pruners.iwp import IWP
from iwp.pruners.magnitude import Magnitude
from iwp.pruners.pact import PACT
from iwp.pruners.pyramiddrop import PyramidDrop
from iwp.pruners.random import Random
from iwp.pruners.scope import SCOPE
from iwp.pruners.sparsevlm import SparseVLM, SparseVLMPlus
from iwp.pruners.tome import ToMe
from iwp.pruners.uniform import Uniform
from iwp.pruners.v2drop import V2Drop
from iwp.pruners.visionzip import VisionZip
from iwp.pruners.vispruner import VisPruner
from iwp.pruners.vtw import VTW

PRUNERS: dict[str, type[Pruner]] = {
    method.name: method
    for method in (
        *(IWP, Magnitude, Random, Uniform),
        *(FastV, DivPrune, CDPruner, DART, VTW, PyramidDrop, V2Drop),
        *(VisionZip, SCOPE, VisPruner),
        *(PACT, ToMe, SparseVLM, SparseVLMPlus),
    )
}

__all__ = [
    "DART",
    "IWP",
    "PACT",
    "PRUNERS",
    "SCOPE",
    "VTW",
    "CDPruner",
    "Choice",
    "DivPrune",
    "FastV",
    "HandPicked",
    "LayerView",
    "Magnitude",
    "Pruner",
    "PyramidDrop",
    "Random",
    "SparseVLM",
    "SparseVLMPlus",
    "ToMe",
    "Uniform",
    "V2Drop",
    "VisPruner",
    "VisionZip",
]
