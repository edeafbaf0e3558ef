"""Tiny random models of every supported family: real classes, real processors, no download."""

from __future__ import annotations

from tests.families import (
    idefics3,
    internvl,
    llava,
    llava_next,
    llava_onevision,
    qwen2_5_vl,
    qwen2_vl,
    qwen3_vl,
)
from tests.families.parts import Family

__all__ = ["FAMILIES", "Family"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        llava_onevision.FAMILY,
        qwen2_vl.FAMILY,
        qwen2_5_vl.FAMILY,
        qwen3_vl.FAMILY,
        llava.FAMILY,
        llava_next.FAMILY,
        internvl.FAMILY,
        idefics3.FAMILY,
        idefics3.SMOLVLM,
    )
}  # fmt: skip
