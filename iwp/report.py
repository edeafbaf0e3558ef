"""A result as JSON and as the rows of a table."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iwp.results import Fidelity, RunResult
    from iwp.types import Answer, Side


def to_json(result: RunResult) -> dict[str, Any]:
    """The object that `--json` prints and the page's `/compare` returns.

    Only JSON's own types; a number that is not finite becomes null. Times are in seconds and
    memory in bytes.
    """
    fields = asdict(result)
    del fields["layout"]
    content: dict[str, Any] = plain(fields)
    return content


def rows(result: RunResult) -> list[tuple[str, str, str]]:
    """(label, baseline, pruned) for every figure that was measured, in words for people."""
    sides: tuple[Side, Side] = ("baseline", "pruned")
    columns = [figures(getattr(result, side), result.n_visual) for side in sides]
    return [
        (label, left, right)
        for (label, left), (_, right) in zip(*columns, strict=True)
        if (left, right) != ("-", "-")
    ]


def figures(answer: Answer, n_visual: int) -> list[tuple[str, str]]:
    """(label, value) of one side; "-" stands for what does not apply to it."""
    timing = answer.timing
    return [
        ("Visual tokens", f"{answer.visual_tokens:,} of {n_visual:,}"),
        ("Picture encoding", seconds(timing.encode_s)),
        ("Token selection", seconds(timing.selection_s) if timing.selection_s else "-"),
        ("Prefill", seconds(timing.prefill_s)),
        ("First token after", seconds(timing.first_token_s)),
        ("Each further token", seconds(timing.per_token_s) if timing.per_token_s else "-"),
        ("Total", seconds(timing.total_s)),
        ("KV cache", megabytes(answer.kv_bytes)),
        ("Peak device memory", "-" if answer.peak_bytes is None else megabytes(answer.peak_bytes)),
    ]


def fidelity(measured: Fidelity) -> list[tuple[str, str]]:
    """(label, value) of what pruning lost, for people; what was not measured is left out."""
    said = {True: "yes", False: "no", None: None}[measured.same_answer]
    weight, output, kl = (
        measured.dual_weight_error,
        measured.output_error,
        measured.first_token_kl,
    )
    found = [
        ("Same answer", said),
        ("Dual weight kept", None if weight is None else percent(1 - weight)),
        ("Attention output kept", None if output is None else percent(1 - output)),
        ("First-token KL", None if kl is None else f"{kl:.3f}" if kl >= 5e-4 else f"{kl:.1e}"),
    ]
    return [(label, value) for label, value in found if value is not None]


def percent(share: float) -> str:
    """A share of 1 for people; never below 0 %."""
    return f"{100 * max(0.0, share):.1f} %"


def seconds(value: float) -> str:
    """A duration for people: milliseconds below one second."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def megabytes(value: int) -> str:
    """Bytes for people, in units of 10^6."""
    return f"{value / 1e6:,.2f} MB" if value < 1e8 else f"{value / 1e6:,.0f} MB"


def table(result: RunResult) -> str:
    """`rows` as aligned text, with the answers on top and the fidelity below."""
    head = [("", "every visual token", "kept tokens only"), *rows(result)]
    widths = [max(len(row[i]) for row in head) for i in range(3)]
    lines = [
        "  ".join((row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2])))
        for row in head
    ]
    return "\n".join(
        [
            f"Every visual token: {result.baseline.answer}",
            f"Kept tokens only:   {result.pruned.answer}",
            "",
            *lines,
            "",
            ", ".join(f"{label.lower()}: {value}" for label, value in fidelity(result.fidelity)),
            *([result.warning] if result.warning else []),
            f"{result.model} on {result.device}, {result.attention} attention, {result.method}",
        ]
    )


def plain(value: Any) -> Any:
    """A value with JSON's own types only; what is not finite is None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
