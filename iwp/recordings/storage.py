"""Recordings as one JSON file: numbers of every token as compressed arrays, the rest in plain."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from iwp.budget import keep_count
from iwp.errors import IWPError
from iwp.recordings.recording import Circumstances, Recording, Recordings
from iwp.report import plain
from iwp.results import Fidelity, Odds, RunResult
from iwp.types import Answer, Block, Ranking, Timing, TokenGrid, VisualLayout

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

FILE: Final = "recorded.json"
"""Its name, beside `examples.json`."""
_ARRAYS: Final = {"ranks": "<i4", "scores": "<f4", "weight_errors": "<f4", "twins": "<i4"}
_APART: Final = ("kept", "ranks", "layout", "times", "rival")  # of a result: not written for each


def write(recordings: Recordings, file: Path) -> None:
    """Write the file, in the order of its entries; the same recordings make the same bytes."""
    content = {
        **{one.name: getattr(recordings, one.name) for one in fields(Recordings)},
        "made": asdict(recordings.made),
        "entries": [_entry(one) for one in recordings.entries],
    }
    file.write_text(json.dumps(plain(content), allow_nan=False, indent=1) + "\n", "utf-8")


def read(file: Path) -> Recordings | None:
    """What the file holds; None where there is none.

    Raises:
        IWPError: it is no file of recordings.
    """
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text("utf-8"))
        content["made"] = Circumstances(**content["made"])
        entries = tuple(_recording(one, content["made"]) for one in content.pop("entries"))
        return Recordings(**content, entries=entries)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise IWPError(
            f"The file {file.name} holds no recordings that this version can read; renew it with "
            "`python -m iwp gallery --record`."
        ) from error


def _entry(one: Recording) -> dict[str, Any]:
    arrays = {
        name: _packed(getattr(one.ranking, name), kind)
        for name, kind in _ARRAYS.items()
        if getattr(one.ranking, name) is not None
    }
    results = [
        {name: value for name, value in asdict(result).items() if name not in _APART}
        for result in one.results
    ]
    return {
        "file": one.file,
        "digest": one.digest,
        "question": one.question,
        "layout": asdict(one.layout),
        "times": one.results[0].times,
        "exponent": one.ranking.exponent,
        "ranking": arrays,
        "results": results,
    }


def _recording(entry: dict[str, Any], made: Circumstances) -> Recording:
    layout = _layout(entry["layout"])
    arrays = {name: _unpacked(entry["ranking"].get(name), kind) for name, kind in _ARRAYS.items()}
    ranks = arrays.pop("ranks")
    scores = arrays.pop("scores")
    if ranks is None or scores is None:
        raise KeyError("ranks, scores")
    ranking = Ranking(ranks, scores, exponent=entry["exponent"], **arrays)
    times = entry["times"] and tuple(entry["times"])
    return Recording(
        file=entry["file"],
        digest=entry["digest"],
        question=entry["question"],
        layout=layout,
        ranking=ranking,
        results=tuple(_result(one, layout, ranks, times) for one in entry["results"]),
        made=made,
    )


def _result(
    content: dict[str, Any], layout: VisualLayout, ranks: Tensor, times: tuple[float, ...] | None
) -> RunResult:
    # A nested method keeps what its ranks say.
    kept = (ranks < keep_count(layout.n, content["budget"])).nonzero().flatten()
    return RunResult(
        **{
            **content,
            "baseline": _answer(content["baseline"]),
            "pruned": _answer(content["pruned"]),
            "fidelity": Fidelity(**content["fidelity"]),
            "first_token": tuple(Odds(**odds) for odds in content["first_token"]),
        },
        kept=tuple(kept.tolist()),
        ranks=tuple(ranks.tolist()),
        layout=layout,
        times=times,
    )


def _answer(content: dict[str, Any]) -> Answer:
    return Answer(**{**content, "timing": Timing(**content["timing"])})


def _layout(content: dict[str, Any]) -> VisualLayout:
    grids = tuple(
        TokenGrid(**{**grid, "blocks": tuple(Block(**block) for block in grid["blocks"])})
        for grid in content["grids"]
    )
    return VisualLayout(**{**content, "grids": grids})


def _packed(values: Tensor, kind: str) -> str:
    data = np.ascontiguousarray(values.numpy(), dtype=kind).tobytes()
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def _unpacked(text: str | None, kind: str) -> Tensor | None:
    if text is None:
        return None
    values = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=kind)
    return torch.from_numpy(values.astype("int64" if kind == "<i4" else "float32"))
