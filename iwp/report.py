"""A result as JSON and as the rows of a table."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from iwp.frames import frames_of, kept_per_grid, tokens_of
from iwp.options import spelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iwp.pruners.base import Pruner
    from iwp.results import Fidelity, RunResult, Sweep
    from iwp.types import Answer, Convention, VisualLayout


CONVENTIONS: dict[Convention, str] = {"cut": "Kept at the cut", "average": "Layer average"}
"""What a budget is a fraction of, for people."""


SWEEP_HEAD = (
    *("Budget", "Visual tokens", "Words shared", "Dual weight kept", "First-token KL"),
    *("First token after", "Total", "Answer"),
)


class _Shares(NamedTuple):
    kept_share: float | None
    layer_average: float | None


_WHOLE = _Shares(1.0, 1.0)


def to_json(result: RunResult) -> dict[str, Any]:
    """The object that `--json` prints and the page's `/compare` returns.

    Only JSON's own types; a number that is not finite becomes null. Times are in seconds and
    memory in bytes.
    """
    fields = asdict(result)
    del fields["layout"], fields["times"]
    fields["frames"] = frames(result.layout, result.times, result.kept)
    content: dict[str, Any] = plain(fields)
    return content


def frames(
    layout: VisualLayout, times: Sequence[float] | None, kept: Sequence[int] | None = None
) -> list[dict[str, Any]] | None:
    """What every frame of a video has of the visual tokens; None for a picture.

    Args:
        layout: where the tokens lie.
        times: seconds of the frames; None for a picture.
        kept: numbers of the kept tokens.

    Returns:
        For each frame, or each few that share their tokens: their `times` in seconds, the number
        of their `first_token`, how many `tokens` they have, and how many of them are `kept`.
    """
    if times is None:
        return None
    shown = [
        {
            "times": [times[i] for i in numbers],
            "first_token": grid.offset,
            "tokens": len(tokens_of(grid)),
        }
        for grid, numbers in zip(layout.grids, frames_of(layout, len(times)), strict=True)
    ]
    if kept is not None:
        for frame, count in zip(shown, kept_per_grid(layout, kept), strict=True):
            frame["kept"] = count
    return shown


def rows(result: RunResult) -> list[tuple[str, str, str]]:
    """(label, left, right) for every figure that was measured, in words for people."""
    left = result.rival or _WHOLE
    columns = [
        figures(answer, result.n_visual, of.kept_share, of.layer_average)
        for answer, of in ((result.baseline, left), (result.pruned, result))
    ]
    return [
        (label, one, other)
        for (label, one), (_, other) in zip(*columns, strict=True)
        if (one, other) != ("-", "-")
    ]


def figures(
    answer: Answer, n_visual: int, kept_share: float | None, layer_average: float | None
) -> list[tuple[str, str]]:
    """(label, value) of one side; "-" stands for what does not apply to it.

    Args:
        answer: the side's.
        n_visual: visual tokens of the prompt.
        kept_share: the fraction that the side's last cut left.
        layer_average: the fraction that a layer read on average.
    """
    timing = answer.timing
    return [
        ("Visual tokens", f"{answer.visual_tokens:,} of {n_visual:,}"),
        (CONVENTIONS["cut"], "-" if kept_share is None else percent(kept_share)),
        (CONVENTIONS["average"], "-" if layer_average is None else percent(layer_average)),
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
        (
            "First-token KL",
            None if kl is None else f"{kl:.3f}" if kl >= 5e-4 or not kl else f"{kl:.1e}",
        ),
    ]
    return [(label, value) for label, value in found if value is not None]


def _nats(kl: float) -> str:
    return f"{kl:.3f}" if kl >= 5e-4 or kl == 0 else f"{kl:.1e}"


def percent(share: float) -> str:
    """A share of 1 for people; never below 0 %."""
    return f"{100 * max(0.0, share):.1f} %"


def seconds(value: float) -> str:
    """A duration for people: milliseconds below one second."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def megabytes(value: int) -> str:
    """Bytes for people, in units of 10^6."""
    return f"{value / 1e6:,.2f} MB" if value < 1e8 else f"{value / 1e6:,.0f} MB"


def table(result: RunResult, method: Pruner, against: Pruner | None = None) -> str:
    """`rows` as aligned text, with the answers on top and the fidelity below.

    Args:
        result: what was found.
        method: the right side's, of which the options are told that it was given.
        against: the left side's; None where that side read every visual token.
    """
    names = titles(result)
    head = [("", *names), *rows(result)]
    widths = [max(len(row[i]) for row in head) for i in range(3)]
    lines = [
        "  ".join((row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2])))
        for row in head
    ]
    wide = max(map(len, names)) + 1
    answers = (result.baseline.answer, result.pruned.answer)
    asked = "budget found:" if method.budget == "auto" else "asked for"
    asked += f" {CONVENTIONS[result.convention].lower()} {percent(result.budget)}"
    methods = " against ".join(spelled(one, defaults=False) for one in (method, against) if one)
    return "\n".join(
        [
            *(
                f"{name[0].upper()}{name[1:]}:".ljust(wide) + f" {answer}"
                for name, answer in zip(names, answers, strict=True)
            ),
            "",
            *lines,
            "",
            *_clip(result),
            ", ".join(f"{label.lower()}: {value}" for label, value in fidelity(result.fidelity)),
            *([result.warning] if result.warning else []),
            f"{result.model} on {result.device}, {result.attention} attention, {asked}, {methods}",
        ]
    )


def _clip(result: RunResult) -> list[str]:
    if result.times is None:
        return []
    counts = " ".join(map(str, kept_per_grid(result.layout, result.kept)))
    n, end = len(result.times), result.times[-1]
    return [f"frames: {n}, the last at {end:.2f} s; tokens kept of each: {counts}"]


def titles(result: RunResult) -> tuple[str, str]:
    """What the left and the right side are called."""
    if result.rival is None:
        return "every visual token", "kept tokens only"
    left, right = (method.partition("(")[0] for method in (result.rival.method, result.method))
    return f"left, {left}", f"right, {right}"


def sweep_rows(found: Sweep) -> list[tuple[str, ...]]:
    """The head of a sweep's table and a row for each budget, in words for people."""
    rows: list[tuple[str, ...]] = [SWEEP_HEAD]
    for point in found.points:
        told = dict(fidelity(point.fidelity))
        timing = point.answer.timing
        rows.append(
            (
                percent(point.budget),
                f"{point.answer.visual_tokens:,} of {found.n_visual:,}",
                percent(point.agreement),
                told.get("Dual weight kept", "-"),
                told.get("First-token KL", "-"),
                seconds(timing.first_token_s),
                seconds(timing.total_s),
                point.answer.answer,
            )
        )
    return rows


def sweep_notes(found: Sweep) -> list[str]:
    """What a reader of the table has to know: what was shared, and what is missing."""
    encoded = f"The picture was encoded once, in {seconds(found.encode_s)}"
    shared = (
        f", and the first {found.shared_layers} decoder layers were read once, in "
        f"{seconds(found.shared_s)}; both are counted in every row"
        if found.shared_layers
        else ", counted in every row; no decoder layer was shared"
    )
    notes = [f"{encoded}{shared}.", "Words shared: with the answer at 100 %, in the same order."]
    if found.out_of_reach:
        missing = " and ".join(percent(budget) for budget in found.out_of_reach)
        notes.append(f"Out of reach of this method as a layer average: {missing}.")
    return notes


def sweep_table(found: Sweep, method: Pruner) -> str:
    """`sweep_rows` as aligned text, with the notes and the options given to `method` below."""
    rows = sweep_rows(found)
    widths = [max(len(row[i]) for row in rows) for i in range(len(SWEEP_HEAD))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    told = spelled(method, defaults=False)
    where = f"{found.model} on {found.device}, {found.attention} attention, {told}"
    return "\n".join([*lines, "", *sweep_notes(found), where])


def plain(value: Any) -> Any:
    """A value with JSON's own types only; what is not finite is None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
