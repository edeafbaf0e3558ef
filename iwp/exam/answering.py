"""The exam's questions answered by several processes, each with a part of the pictures."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from iwp import adapters
from iwp.adapters.base import VLM
from iwp.errors import InputError, IWPError
from iwp.exam.entries import Entry, entries
from iwp.exam.ledger import Ledger, weights_of
from iwp.scenes import exam
from iwp.scenes.examinee import MAX_NEW_TOKENS
from iwp.types import Convention

_EVERY = 25  # pictures between two lines of progress


@dataclass(frozen=True)
class Plan:
    """What is asked of whom. Goes to every process.

    Attributes:
        model: `demo`, a folder or a Hub id.
        methods: words for `entries`.
        budgets: fractions.
        convention: what the budgets are.
        seed: of the scenes.
        per_kind: questions of every kind.
        kinds: of questions.
        folder: of the ledger.
        jobs: processes.
        threads: CPU threads of each.
        clips: whether it is the exam of clips.
    """

    model: str
    methods: str
    budgets: tuple[float, ...]
    convention: Convention
    seed: int
    per_kind: int
    kinds: tuple[str, ...]
    folder: Path
    jobs: int = 1
    threads: int = 1
    clips: bool = False

    def items(self) -> Iterator[exam.Item]:
        """The pictures or clips, and the questions."""
        make = exam.clip_items if self.clips else exam.items
        return make(self.seed, self.per_kind, self.kinds)

    def ledger(self, vlm: VLM, taking_part: Sequence[Entry]) -> Ledger:
        """The ledger as far as it goes.

        Raises:
            InputError: it is of another exam.
        """
        stamp = {
            "weights": weights_of(vlm.model),
            "seed": self.seed,
            "limit": self.per_kind,
            "about": "clips" if self.clips else "scenes",
            "kinds": list(self.kinds),
            "longest answer": MAX_NEW_TOKENS,
        }
        return Ledger(self.folder, stamp, {entry.name: entry.recipe for entry in taking_part})


def taking_part(vlm: VLM, plan: Plan) -> tuple[list[Entry], dict[str, str]]:
    """The entries that can answer, and by name why others cannot: every method is tried once.

    Raises:
        InputError: none can answer.
    """
    found, refused = entries(vlm, plan.methods, plan.budgets, plan.convention)
    first = next(plan.items())
    once = {entry.method: entry for entry in found}
    failing = {method: _complaint(vlm, first, entry) for method, entry in once.items()}
    refused |= {entry.name: why for entry in found if (why := failing[entry.method])}
    able = [entry for entry in found if entry.name not in refused]
    if not able:
        reasons = " ".join(dict.fromkeys(refused.values()))
        raise InputError(f"There is nobody to take the exam. {reasons}")
    return able, refused


def _complaint(vlm: VLM, item: exam.Item, entry: Entry) -> str | None:
    try:
        next(exam.sit(vlm, [item], [entry]))
    except IWPError as error:
        return str(error)
    return None


def answer_all(vlm: VLM, plan: Plan) -> None:
    """Answer what the ledger lacks.

    Raises:
        IWPError: a process has failed.
    """
    if plan.jobs == 1:
        _answer_part(vlm, plan, 0)
        return
    context = multiprocessing.get_context("spawn")
    parts = [context.Process(target=_in_process, args=(plan, part)) for part in range(plan.jobs)]
    for process in parts:
        process.start()
    for process in parts:
        process.join()
    if any(process.exitcode for process in parts):
        raise IWPError("A process of the exam has failed; the same command goes on from there.")


def _in_process(plan: Plan, part: int) -> None:
    torch.set_num_threads(plan.threads)
    _answer_part(adapters.load(plan.model), plan, part)


def _answer_part(vlm: VLM, plan: Plan, part: int) -> None:
    able, _ = taking_part(vlm, plan)
    ledger = plan.ledger(vlm, able)
    done, writer, begun = ledger.done, ledger.writer(part), time.perf_counter()
    mine = (item for item in plan.items() if item.number // 2 % plan.jobs == part)
    for count, item in enumerate(mine, start=1):
        for record in exam.sit(vlm, [item], able, done):
            writer.add(record)
        if count % _EVERY == 0:
            seconds = time.perf_counter() - begun
            print(f"part {part}: {count} pictures, {seconds:.0f} s", flush=True)
    writer.close()
