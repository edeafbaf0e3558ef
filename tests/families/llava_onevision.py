"""The family of `tests.tiny`."""

from __future__ import annotations

from tests import tiny
from tests.families.parts import Family

FAMILY = Family("llava_onevision", tiny.model, tiny.processor)
