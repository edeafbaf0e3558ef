"""What a model's vision tower finds in each visual token, read while the model encodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iwp.errors import ModelError
from iwp.tower.crops import ClipWatch, CropWatch, IdeficsWatch, PackedWatch
from iwp.tower.patches import PatchWatch, WindowWatch
from iwp.tower.watch import Given, Watch

__all__ = ["TOWERS", "Given", "Watch", "watch_of"]

TOWERS: dict[str, Callable[[Any], Watch]] = {
    "llava_onevision": ClipWatch,
    "llava_next": PackedWatch,
    "llava": CropWatch,
    "internvl": CropWatch,
    "idefics3": IdeficsWatch,
    "smolvlm": IdeficsWatch,
    "qwen2_vl": PatchWatch,
    "qwen2_5_vl": WindowWatch,
    "qwen3_vl": PatchWatch,
}


def watch_of(model: Any) -> Watch:
    """How to read the vision tower of this model; nothing of it is touched yet.

    Raises:
        ModelError: IWP does not know towers like this one.
    """
    kind = model.config.model_type
    if kind not in TOWERS:
        raise ModelError(
            f"IWP cannot look into the vision tower of models of type {kind}; choose a method "
            "that does without."
        )
    try:
        return TOWERS[kind](model)
    except (AttributeError, IndexError) as error:
        raise ModelError(
            f"IWP finds no attention in the vision tower of this {type(model).__name__}; choose a "
            "method that does without."
        ) from error
