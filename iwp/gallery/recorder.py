"""Answers the examples on the engine and notes what came of it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iwp import measure
from iwp.engine import choose_method
from iwp.events import Done, Ranked
from iwp.recordings import Circumstances, Recording, Recordings, digest
from iwp.sweep import BUDGETS
from iwp.video import open_media

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iwp.engine import Engine
    from iwp.results import RunResult
    from iwp.run import Run
    from iwp.types import Answer, Media

_PACKAGES: Final = ("torch", "transformers")


def record(
    engine: Engine, rows: Iterable[tuple[Path, str]], turns: int = 1
) -> Iterator[Recording | Recordings]:
    """Answer every example at every budget of a sweep, with the model's recommended IWP.

    Args:
        engine: a warmed-up engine.
        rows: (file, question) of each example; a file may be a picture or a video.
        turns: how often each side answers. The fastest time counts: other work on the machine only
            ever adds to it.

    Yields:
        Each recording when it is there, then all of them together.

    Raises:
        InputError: a file cannot be read.
        IWPError: the model had no answer within the time limit.
    """
    made, vlm = circumstances(engine, turns), engine.vlm
    entries = []
    for file, question in rows:
        media = open_media(file, vlm.adapter, max_pixels=engine.settings.max_pixels)
        entries.append(_recorded(engine, media, file, question, made))
        yield entries[-1]
    options = asdict(choose_method(vlm, BUDGETS[0]))
    del options["budget"]
    yield Recordings(
        model=vlm.name,
        digest=digest.of_model(engine.source),
        attention=vlm.attention,
        device=engine.device_name,
        layers=len(vlm.adapter.decoder_layers),
        options=options,
        made=made,
        entries=tuple(entries),
    )


def circumstances(engine: Engine, turns: int) -> Circumstances:
    """What timings taken now are to be read with."""
    vlm = engine.vlm
    machine = engine.device_name
    if vlm.device.type == "cpu":
        threads = measure.cpu_threads(vlm.model, vlm.device, engine.settings.threads)
        machine = f"{_processor()} with {os.cpu_count()} cores, {threads} used"
    return Circumstances(
        date=datetime.now(timezone.utc).date().isoformat(),
        machine=machine,
        numbers=str(vlm.model.dtype).removeprefix("torch."),
        turns=turns,
        versions={
            "Python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
    )


def _recorded(
    engine: Engine, media: Media, file: Path, question: str, made: Circumstances
) -> Recording:
    taken = [_turn(engine, media, question) for _ in range(made.turns)]
    ranked = taken[0][0]
    fastest = [
        min(found, key=lambda result: result.pruned.timing.total_s)
        for found in zip(*(results for _, results in taken), strict=True)
    ]
    every = _fastest(result.baseline for _, results in taken for result in results)
    return Recording(
        file=file.name,
        digest=digest.of_file(file),
        question=question,
        layout=ranked.layout,
        ranking=ranked.ranking,
        results=tuple(replace(result, baseline=every) for result in fastest),
        made=made,
    )


def _turn(engine: Engine, media: Media, question: str) -> tuple[Ranked, list[RunResult]]:
    """The example ranked, and answered at every budget: the picture is encoded once."""
    first, *others = BUDGETS
    run = engine.compare(media, question, first)
    ranked, done = _ends(run)
    return ranked, [
        done.result,
        *(engine.repruned(done.session, budget).result() for budget in others),
    ]


def _ends(run: Run) -> tuple[Ranked, Done]:
    events = list(run)
    (ranked,) = (event for event in events if isinstance(event, Ranked))
    (done,) = (event for event in events if isinstance(event, Done))
    return ranked, done


def _fastest(answers: Iterable[Answer]) -> Answer:
    return min(answers, key=lambda answer: answer.timing.total_s)


def _processor() -> str:
    """The processor's name, where the system tells one."""
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
