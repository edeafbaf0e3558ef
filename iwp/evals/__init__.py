"""Evaluation by lmms-eval: the plugin that it loads by itself, and a task made of scenes."""

from __future__ import annotations

from typing import Any


def models() -> Any:
    """What lmms-eval's entry-point group `lmms_eval.models` asks for: the model `iwp`.

    Every start of lmms-eval calls this, so the model's own module is named and not imported.
    """
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest("iwp", chat_class_path="iwp.evals.lmms.PrunedModel")
