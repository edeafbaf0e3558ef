"""What an answer takes when nothing is shared with other settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from statistics import median

from iwp import generate, measure
from iwp.adapters.base import VLM, Inputs
from iwp.exam.entries import Entry
from iwp.exam.results import Times
from iwp.pruners import Pruner
from iwp.scenes.exam import Item, evidence_of, see
from iwp.scenes.examinee import MAX_NEW_TOKENS


def times(vlm: VLM, exam: Iterable[Item], entries: Sequence[Entry], questions: int) -> Times:
    """Median seconds over the first questions about the largest pictures.

    Encoding the picture is no part of them; what a method asks of the vision tower beyond that is
    a part of choosing, and with that of the answer. The entries take turns on every question, so
    that what else the machine does meets all alike; the first question warms up and does not count.

    Returns:
        By name, the seconds of choosing and of the whole answer.
    """
    taken: dict[str, list[tuple[float, float]]] = {entry.name: [] for entry in entries}
    largest = (item for item in exam if item.largest)
    for turn, item in enumerate(islice(largest, questions + 1)):
        question = item.questions[0]
        prepared = vlm.adapter.prepare(item.media, question.text)
        inputs = vlm.adapter.inputs(prepared, *see(vlm, prepared, entries))
        evidence = evidence_of(item, question, prepared)
        for entry in entries:
            pruner = entry.at(prepared.layout.n, len(vlm.adapter.decoder_layers), evidence)
            one = _one(vlm, inputs, pruner)
            if turn:
                taken[entry.name].append(one)
    return {
        name: (median(choosing for choosing, _ in both), median(whole for _, whole in both))
        for name, both in taken.items()
        if both
    }


def _one(vlm: VLM, inputs: Inputs, pruner: Pruner | None) -> tuple[float, float]:
    watch = measure.Stopwatch(vlm.device)
    state = generate.prefill(vlm.model, **inputs, pruner=pruner)
    for _ in generate.decode(vlm.model, state, MAX_NEW_TOKENS, vlm.adapter.stop_ids):
        pass
    whole = watch.seconds()
    tower = inputs["tower"]
    if tower is not None and pruner is not None and pruner.needs_tower:
        whole += tower.seconds  # its first cut's seconds contain them too
    return sum(cut.seconds for cut in state.trace.cuts), whole
