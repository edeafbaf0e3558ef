"""Answers that take turns: what every part of each takes, and what an ideal cut would take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median, quantiles

import torch

from iwp import generate, measure, steps
from iwp.adapters.base import VLM, Inputs
from iwp.bench import memory, output
from iwp.bench.prompts import Asked, Read
from iwp.layer_average import Plan, tokens_read
from iwp.picking import likeliest
from iwp.pruners import Pruner


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of some measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)

    @property
    def milliseconds(self) -> str:
        """Of seconds, for people."""
        numbers = (self.median, self.low, self.high)
        middle, low, high = (output.brief(1000 * seconds) for seconds in numbers)
        return f"{middle} ({low}-{high})"


@dataclass(frozen=True)
class Turn:
    """One answer. Seconds are synchronised with the device.

    Attributes:
        encode_s: the picture, without what looking at the vision tower took; 0 for none.
        selection_s: choosing, in all cuts, and looking at the tower for methods that do.
        prefill_s: reading the prompt, `selection_s` included.
        decode_s: writing the answer, by stock steps.
        kv_bytes: keys and values after the prefill.
        plan: what each cut left.
        fast_s: a token in caches of fixed size; None where that was not tried or did not succeed.
    """

    encode_s: float
    selection_s: float
    prefill_s: float
    decode_s: float
    kv_bytes: int
    plan: Plan
    fast_s: float | None = None

    @property
    def latency_s(self) -> float:
        """Everything."""
        return self.encode_s + self.prefill_s + self.decode_s


@dataclass(frozen=True)
class Measured:
    """One method over all turns.

    Attributes:
        kept: visual tokens after the last cut.
        average: visual tokens that a layer reads on average.
        parts: spreads by name: encode, selection, prefill, decode (of one token), latency and,
            where every turn has it, fast (of one token in caches of fixed size), in seconds.
        prefill_speedup: the baseline's seconds over the method's, the median of all turns.
        latency_speedup: the same for everything.
        of_ideal: what encoding and reading would take if only the layers counted, over what they
            took, the median of all turns.
        kv_bytes: keys and values after the prefill.
        weights_bytes: the model's weights and buffers.
        held_bytes: the most that an answer held beyond them, encoding included.
    """

    kept: int
    average: float
    parts: dict[str, Spread]
    prefill_speedup: float
    latency_speedup: float
    of_ideal: float
    kv_bytes: int
    weights_bytes: int
    held_bytes: int

    @property
    def peak_bytes(self) -> int:
        """The most that was in use."""
        return self.weights_bytes + self.held_bytes


def answered(vlm: VLM, read: Read, pruner: Pruner | None, new_tokens: int) -> Turn:
    """Read the prompt and write `new_tokens` tokens, whatever they are."""
    watch = measure.Stopwatch(vlm.device)
    state = generate.prefill(vlm.model, **read.inputs, pruner=pruner)
    prefill_s = watch.seconds()
    kept_bytes, cuts = measure.kv_bytes(state.cache), state.trace.cuts
    watch = measure.Stopwatch(vlm.device)
    for _ in generate.decode(vlm.model, state, new_tokens, stop_ids=(), fast=False):
        pass
    decode_s = watch.seconds()
    tower = read.inputs["tower"]
    asks = pruner is not None and pruner.needs_tower and bool(cuts)
    looked = tower.seconds if tower is not None and asks else 0.0
    return Turn(
        read.encode_s or 0.0,
        sum(cut.seconds for cut in cuts),  # the first one's contain the look at the tower
        prefill_s + looked,
        decode_s,
        kept_bytes,
        [(cut.layer, len(cut.kept)) for cut in cuts],
    )


@torch.no_grad()
def fast_token_s(vlm: VLM, read: Read, pruner: Pruner | None, new_tokens: int) -> float | None:
    """Seconds of a token in caches of fixed size: the median, without the one that is recorded.

    None where any step was a stock one, or on a GPU none was replayed.
    """
    state, room, taken = (
        generate.prefill(vlm.model, **read.inputs, pruner=pruner),
        new_tokens - 1,
        [],
    )
    reader = steps.onward(
        vlm.model, state.cache, state.next_position, state.biases, room, fast=True
    )
    token = likeliest(state.logits)
    for _ in range(room):
        watch = measure.Stopwatch(vlm.device)
        token = likeliest(reader.read(token))
        taken.append(watch.seconds())
    if not isinstance(reader, steps.Fast) or not reader.fast:
        return None
    if vlm.device.type == "cuda" and len(taken) < 2:  # recorded only
        return None
    return median(taken[1:] or taken)


def measured(
    vlm: VLM,
    asked: Asked,
    methods: Sequence[Pruner | None],
    new_tokens: int,
    repeats: int,
    *,
    fast: bool = False,
) -> Iterator[Measured]:
    """Every method's measurements; the first one is None, the baseline.

    Baseline and methods take turns, every second time in the opposite order, so that what else the
    machine does meets all alike; a turn before the first warms up and does not count. In the same
    turns, prompts as short as the cuts leave them are read whole: a layer's seconds at that length.
    `fast` has every method write in caches of fixed size as well.
    """
    turns: list[list[Turn]] = [[] for _ in methods]
    whole: list[dict[int, float]] = []
    for number in range(repeats + 1):
        read = asked.read()
        order = list(enumerate(methods))
        taken = {
            place: answered(vlm, read, method, new_tokens)
            for place, method in (order if number % 2 else reversed(order))
        }
        if fast:
            for place, method in order:
                token_s = fast_token_s(vlm, read, method, new_tokens)
                taken[place] = replace(taken[place], fast_s=token_s)
        lengths = {kept for turn in taken.values() for _, kept in turn.plan}
        short = {kept: _seconds_without(vlm, read.inputs, kept) for kept in sorted(lengths)}
        if number:
            whole.append({**short, asked.n: taken[0].prefill_s})
            for place, turn in taken.items():
                turns[place].append(turn)
    for method, mine in zip(methods, turns, strict=True):
        yield _summed(vlm, asked, method, mine, turns[0], whole, new_tokens)


def ideal_s(plan: Plan, whole: dict[int, float], n: int, layers: int) -> float:
    """Seconds of a prefill in which choosing and cutting took no time.

    Args:
        plan: what each cut left.
        whole: seconds of a whole prefill, all layers, by its visual tokens.
        n: visual tokens before the first cut.
        layers: the decoder's layers.
    """
    starts = [0, *(min(layer, layers) for layer, _ in plan)]
    ends = [*starts[1:], layers]
    lengths = [n, *(kept for _, kept in plan)]
    return sum(
        whole[length] * (end - start) / layers
        for length, start, end in zip(lengths, starts, ends, strict=True)
    )


def _summed(
    vlm: VLM,
    asked: Asked,
    method: Pruner | None,
    mine: Sequence[Turn],
    baseline: Sequence[Turn],
    whole: Sequence[dict[int, float]],
    new_tokens: int,
) -> Measured:
    n, layers, last = asked.n, len(vlm.adapter.decoder_layers), mine[-1]
    ideals = [
        ideal_s(turn.plan, lengths, n, layers) for turn, lengths in zip(mine, whole, strict=True)
    ]
    parts = {
        "encode": [turn.encode_s for turn in mine],
        "selection": [turn.selection_s for turn in mine],
        "prefill": [turn.prefill_s for turn in mine],
        "decode": [turn.decode_s / (new_tokens - 1) for turn in mine],
        "latency": [turn.latency_s for turn in mine],
    }
    fast = [turn.fast_s for turn in mine if turn.fast_s is not None]
    if len(fast) == len(mine):
        parts["fast"] = fast
    pairs = list(zip(baseline, mine, strict=True))
    weights = sum(tensor.nbytes for tensor in (*vlm.model.parameters(), *vlm.model.buffers()))
    held = memory.peak_bytes(
        measure.gpus_of(vlm.model), lambda: answered(vlm, asked.read(), method, new_tokens)
    )
    return Measured(
        kept=last.plan[-1][1] if last.plan else n,
        average=tokens_read(last.plan, n, layers) / layers,
        parts={name: Spread.of(values) for name, values in parts.items()},
        prefill_speedup=median(base.prefill_s / turn.prefill_s for base, turn in pairs),
        latency_speedup=median(base.latency_s / turn.latency_s for base, turn in pairs),
        of_ideal=median(
            (turn.encode_s + ideal) / (turn.encode_s + turn.prefill_s)
            for turn, ideal in zip(mine, ideals, strict=True)
        ),
        kv_bytes=last.kv_bytes,
        weights_bytes=weights,
        held_bytes=held,
    )


def _seconds_without(vlm: VLM, inputs: Inputs, kept: int) -> float:
    """Seconds of a whole prefill of a prompt with only the first `kept` visual tokens."""
    stays = torch.ones(inputs["embeds"].shape[1], dtype=torch.bool, device=inputs["embeds"].device)
    stays[inputs["visual"][kept:]] = False
    embeds = inputs["embeds"][:, stays]
    watch = measure.Stopwatch(vlm.device)
    generate.prefill(vlm.model, embeds, inputs["visual"][:kept])
    return watch.seconds()
