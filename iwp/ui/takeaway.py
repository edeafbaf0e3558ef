"""A comparison to take along: as JSON, and as Python that runs it again."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import iwp
from iwp import report
from iwp.options import spelled

if TYPE_CHECKING:
    from iwp.results import RunResult
    from iwp.ui.visitors import Asked

_PACKAGES: Final = ("torch", "transformers", "gradio")


def document(asked: Asked, result: RunResult, limit: int, example: int | None) -> str:
    """Inputs, versions and the whole result with its timings and ranks, as JSON text.

    Args:
        asked: the comparison.
        result: what came of it, perhaps at another budget.
        limit: the most tokens of an answer.
        example: number of the example, or None for a picture or video of one's own.
    """
    width, height = asked.media.size
    shown: dict[str, Any] = {"width": width, "height": height, "example": example}
    if times := asked.media.clip_times:
        shown["frames"] = len(times)
        shown["times"] = times
    chosen = asked.sides
    content: dict[str, Any] = {
        "inputs": {
            "question": asked.question,
            "budget": result.budget,
            "convention": chosen.convention,
            "method": spelled(chosen.right),
            "against": spelled(chosen.left) if chosen.left else None,
            "max_new_tokens": limit,
            "temperature": chosen.knobs.temperature,
            "video" if times else "picture": shown,
        },
        "versions": {
            "iwp": iwp.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "result": report.to_json(result),
    }
    return json.dumps(content, allow_nan=False, ensure_ascii=False, indent=1)


def snippet(asked: Asked, result: RunResult, limit: int) -> str:
    """Python that answers the same again, about a file called picture.png or clip.mp4."""
    chosen = asked.sides
    file = "clip.mp4" if asked.media.kind == "video" else "picture.png"
    kinds = sorted({type(method).__name__ for method in chosen.pruners})
    sides = {
        "method": spelled(chosen.right, defaults=False),
        "against": spelled(chosen.left, defaults=False) if chosen.left else None,
        "convention": repr(chosen.convention) if chosen.convention != "cut" else None,
        "max_new_tokens": str(limit),
        "temperature": repr(chosen.knobs.temperature) if chosen.knobs.temperature else None,
    }
    given = "".join(f"    {name}={value},\n" for name, value in sides.items() if value is not None)
    return (
        f"import iwp\nfrom iwp.pruners import {', '.join(kinds)}\n\n"
        f"vlm = iwp.load({result.model!r})\nresult = iwp.compare(\n    vlm,\n"
        f'    "{file}",\n    {asked.question!r},\n    {result.budget!r},\n{given})\n'
        'print(result.baseline.answer, "|", result.pruned.answer)\n'
    )
