"""Qwen2.5-VL: Qwen2-VL with a tower that attends inside windows."""

from __future__ import annotations

from typing import ClassVar

from iwp.adapters.qwen2_vl import Qwen2VL


class Qwen2_5VL(Qwen2VL):
    """Still pictures and videos for `Qwen2_5_VLForConditionalGeneration`.

    The tower sorts patches by window; its own inverse brings the features back to rows and
    columns, so that they leave `encode` in prompt order.
    """

    model_type: ClassVar[str] = "qwen2_5_vl"
