"""What a run of an evaluation achieved, summed up over prompts and processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from iwp.layer_average import layer_average
from iwp.types import Trace


@dataclass(frozen=True)
class Figures:
    """Sums over the prompts that show something.

    Attributes:
        prompts: how many there are.
        visual_tokens: their visual tokens before any cut.
        kept: the share of them left after the last cut, prompt by prompt.
        read: the share of them that a layer reads on average, prompt by prompt.
        new_tokens: tokens of the answers, of all prompts.
        seconds: time in `generate()`, on all processes together.
    """

    prompts: int = 0
    visual_tokens: int = 0
    kept: float = 0.0
    read: float = 0.0
    new_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Figures) -> Figures:
        """The sums of both."""
        return Figures(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def shares(self) -> dict[str, float]:
        """Means over the prompts, by the names that a report shows them under."""
        if not self.prompts:
            return {}
        return {
            "visual_tokens": self.visual_tokens / self.prompts,
            "kept_share": self.kept / self.prompts,
            "layer_average": self.read / self.prompts,
        }

    @property
    def told(self) -> str:
        """The means in one sentence."""
        if not self.prompts:
            return "nothing was shown"
        means = self.shares
        return (
            f"kept {means['kept_share']:.2%} of {means['visual_tokens']:.1f} visual tokens at the "
            f"last cut, {means['layer_average']:.2%} on layer average; {self.prompts} prompts"
        )


def of_trace(trace: Trace, layers: int, rows: Iterable[int]) -> Figures:
    """The shares of some rows of one batch.

    Args:
        trace: of a `prune` block around one `generate()`; for a batch without any cut, one that
            only has `n_visual`.
        layers: the decoder's.
        rows: which rows to count.
    """
    batch, out = len(trace.n_visual), Figures()
    for row in rows:
        n = trace.n_visual[row]
        if not n:
            continue
        plan = [(cut.layer, len(cut.kept)) for cut in trace.cuts[row::batch]]
        kept = plan[-1][1] / n if plan else 1.0
        out += Figures(1, n, kept, layer_average(plan, n, layers))
    return out
