"""One side of a comparison: read the prompt, answer, time every part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iwp import generate, measure
from iwp.events import Text
from iwp.layer_average import layer_average
from iwp.picking import picker
from iwp.run import Halted
from iwp.types import Answer, FinishReason, Timing

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from iwp.adapters.base import VLM
    from iwp.generate import Prefill
    from iwp.pruners.base import Pruner
    from iwp.run import Brake
    from iwp.session import Session
    from iwp.trunk import Trunk
    from iwp.types import Ranking, Side


@dataclass(frozen=True)
class Answered:
    """What came of one side.

    Attributes:
        answer: text and timings.
        kept: ascending numbers of the visual tokens that the last cut left.
        kept_share: the fraction of all visual tokens that these are; None where the prompt was not
            read to its end.
        layer_average: the fraction that a layer read on average; None as well.
        first_logits: (V,) float32 of the first token, on the CPU; None where it was not reached.
    """

    answer: Answer
    kept: tuple[int, ...]
    kept_share: float | None
    layer_average: float | None
    first_logits: Tensor | None


def answer(
    vlm: VLM,
    session: Session,
    side: Side,
    pruner: Pruner | None,
    ranking: Ranking | None,
    brake: Brake,
    trunk: Trunk | None = None,
) -> Generator[Text, None, Answered]:
    """Answers the session's question, yielding the text so far after every token.

    `ranking` is the pruner's. A `trunk` has read the session's prompt up to the pruner's cut: the
    prefill goes on from there, and only that is timed. A pressed brake ends the answer within one
    decoder layer or one token; what is there by then is the answer, and its `finish` says why it
    ended.
    """
    features = session.features.to(vlm.device)
    measure.reset_peak(vlm.model)

    limit = session.decoding.max_new_tokens
    state: Prefill | None = None
    tokens: list[int] = []
    steps: list[float] = []
    finish: FinishReason
    held = 0
    watch = measure.Stopwatch(vlm.device)
    try:
        brake.check()
        if trunk is None:
            inputs = vlm.adapter.inputs(session.prepared, features, session.tower)
            state = generate.prefill(vlm.model, **inputs, pruner=pruner, check=brake.check)
        else:
            state = trunk.prefill(pruner, check=brake.check)
        prefill_s = watch.seconds()
        held = measure.kv_bytes(state.cache)
        # The text decoder's work between two tokens is not the model's: only steps are timed.
        pick, fast = picker(session.decoding), session.decoding.fast
        ids = generate.decode(vlm.model, state, limit, vlm.adapter.stop_ids, pick, fast)
        finish = "length"
        while len(tokens) < limit:
            brake.check()
            watch = measure.Stopwatch(vlm.device)
            token = next(ids, None)
            steps.append(watch.seconds())
            if token is None:
                finish = "eos"
                break
            tokens.append(token)
            yield Text(side, vlm.adapter.decode_text(tokens))
    except Halted as halted:
        finish = halted.reason
        prefill_s = prefill_s if state else watch.seconds()

    cuts = state.trace.cuts if state else []
    n = session.prepared.layout.n
    kept = tuple(cuts[-1].kept.tolist()) if cuts else _planned(n, pruner, ranking)
    plan = [(cut.layer, len(cut.kept)) for cut in cuts]
    layers = len(vlm.adapter.decoder_layers)
    looked = 0.0
    if cuts and session.tower is not None and pruner is not None and pruner.needs_tower:
        # It happened while the picture was encoded, but is the method's work: it counts as a part
        # of the selection (in its first cut), and with that as a part of the prefill.
        looked = session.tower.seconds
    selection_s = sum(cut.seconds for cut in cuts)
    done = Answer(
        answer=vlm.adapter.decode_text(tokens),
        n_tokens=len(tokens),
        visual_tokens=len(kept),
        timing=_timing(
            *(session.encode_s, selection_s, prefill_s + looked, steps),
            recorded=session.decoding.fast and vlm.device.type == "cuda",
        ),
        kv_bytes=held,
        peak_bytes=measure.peak_bytes(vlm.model),
        finish=finish,
    )
    if state is None:
        return Answered(done, kept, None, None, None)
    average = layer_average(plan, n, layers)
    return Answered(done, kept, len(kept) / n, average, state.logits.cpu())


def _planned(n: int, pruner: Pruner | None, ranking: Ranking | None) -> tuple[int, ...]:
    """What is kept where no cut was made: the budget is 100 %, or the run ended before it.

    A budget that the method finds itself is not known then, and counts as 100 %.
    """
    if pruner is None or ranking is None or pruner.budget == "auto":
        return tuple(range(n))
    return tuple((ranking.ranks < pruner.plan(n)[-1][1]).nonzero().flatten().tolist())


def _timing(
    encode: float, selection: float, prefill: float, steps: list[float], recorded: bool
) -> Timing:
    """`steps` are the seconds of each step of decoding; the first one only picks a token.

    Where the others are `recorded`, the second one is, which a further token costs nothing of.
    """
    later = steps[2:] if recorded else steps[1:]
    return Timing(
        encode_s=encode,
        selection_s=selection,
        prefill_s=prefill,
        first_token_s=encode + prefill + sum(steps[:1]),
        per_token_s=sum(later) / len(later) if later else 0.0,
        total_s=encode + prefill + sum(steps),
    )
