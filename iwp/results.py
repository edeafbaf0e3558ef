"""What a comparison gives. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iwp.types import Answer, Convention, VisualLayout


@dataclass(frozen=True)
class Fidelity:
    """How close the pruned side is to the baseline; None where the left side was pruned, too.

    Attributes:
        dual_weight_error: relative error of the implicit weight at the cut, 0 to about 1; None for
            methods that cut several times or put tokens together.
        output_error: relative error of the attention's output at the cut, for the text's queries;
            None as well.
        first_token_kl: KL(baseline || pruned) of the first token's distribution, in nats.
        same_answer: whether both answers are the same text, whatever the left side read;
            None where one was cut short.
    """

    dual_weight_error: float | None
    output_error: float | None
    first_token_kl: float | None
    same_answer: bool | None


@dataclass(frozen=True)
class Odds:
    """How likely both sides find one first token of the answer, before any choice is made.

    Attributes:
        token: its text, such as " red" or "<|im_end|>".
        baseline: its probability on the left side.
        pruned: on the right side.
    """

    token: str
    baseline: float
    pruned: float


@dataclass(frozen=True)
class Contender:
    """The method of the left side, where that side was pruned, too.

    Attributes:
        method: the method with its options.
        kept: ascending numbers of the visual tokens that its last cut left.
        ranks: its rank of every visual token.
        kept_share: see `RunResult`.
        layer_average: see `RunResult`.
    """

    method: str
    kept: tuple[int, ...]
    ranks: tuple[int, ...]
    kept_share: float | None
    layer_average: float | None


@dataclass(frozen=True)
class RunResult:
    """Both sides of a comparison and the ranking that connects them.

    Attributes:
        baseline: the left side: every visual token, or what the `rival` keeps.
        pruned: the right side.
        n_visual: visual tokens of the prompt.
        budget: the fraction that was asked for, of what `convention` says; where the method found
            it, the fraction that its cut left.
        kept: ascending numbers of the visual tokens that the last cut left.
        ranks: rank of every visual token, of the first cut where there are several.
        layout: where the visual tokens lie.
        method: the method with its options.
        model: what was asked.
        device: where it ran.
        attention: the attention kernel.
        fidelity: what pruning lost.
        exponent: the ranking's.
        warning: a sentence where the exponent is too large for the method.
        convention: what the budget is a fraction of.
        kept_share: the fraction of visual tokens that the last cut left; None where the deadline
            came before.
        layer_average: the fraction of visual tokens that a layer read on average: its work; None
            as well.
        rival: the left side's method; None where that side read every visual token.
        times: seconds of the frames of a video, since its first; None for a picture.
        temperature: what the answers' tokens were drawn with; 0 where the likeliest were taken.
        first_token: the likeliest first tokens of either side, those of the left one first; none
            where a side did not get that far.
    """

    baseline: Answer
    pruned: Answer
    n_visual: int
    budget: float
    kept: tuple[int, ...]
    ranks: tuple[int, ...]
    layout: VisualLayout
    method: str
    model: str
    device: str
    attention: str
    fidelity: Fidelity
    exponent: float | None = None
    warning: str | None = None
    convention: Convention = "cut"
    kept_share: float | None = None
    layer_average: float | None = None
    rival: Contender | None = None
    times: tuple[float, ...] | None = None
    temperature: float = 0.0
    first_token: tuple[Odds, ...] = ()


@dataclass(frozen=True)
class SweepPoint:
    """One budget of a sweep.

    Attributes:
        budget: the fraction that was asked for, of what the sweep's `convention` says.
        answer: text and timings; its prefill counts the shared layers.
        own_prefill_s: what of the prefill was run for this budget alone.
        kept_share: see `RunResult`.
        layer_average: see `RunResult`.
        fidelity: how close it is to the answer with every visual token.
        agreement: the share of words that it has in common with that answer, 0 to 1.
    """

    budget: float
    answer: Answer
    own_prefill_s: float
    kept_share: float | None
    layer_average: float | None
    fidelity: Fidelity
    agreement: float


@dataclass(frozen=True)
class Sweep:
    """One question at a row of budgets, from every visual token down.

    Attributes:
        points: the budgets that were answered.
        out_of_reach: layer averages that the method cannot go down to.
        planned: how many budgets were asked for.
        n_visual: visual tokens of the prompt.
        encode_s: seconds of encoding the picture, once for all budgets.
        shared_s: seconds of the decoder layers before the cut, once for all budgets.
        shared_layers: how many layers that were; 0 where each budget read all of them.
        method: the method with its options.
        convention: what the budgets are fractions of.
        model: what was asked.
        device: where it ran.
        attention: the attention kernel.
    """

    points: tuple[SweepPoint, ...]
    out_of_reach: tuple[float, ...]
    planned: int
    n_visual: int
    encode_s: float
    shared_s: float
    shared_layers: int
    method: str
    convention: Convention
    model: str
    device: str
    attention: str
