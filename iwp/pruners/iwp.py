"""IWP: visual tokens by information magnitude and duplication (arXiv 2604.00757)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from iwp import dual
from iwp.errors import InputError
from iwp.mmr import progressive_chunked_mmr, ranks_of
from iwp.pruners.base import LayerView, Pruner
from iwp.types import Ranking

if TYPE_CHECKING:
    from torch import Tensor

_CHOICES = {
    "magnitude": ("kernel_value",),
    "query": ("text", "last", "image"),
    "duplication": ("dual", "none"),
    "normalizer": ("eta", "visual", "none"),
    "bandwidth": ("sqrt_d", "median"),
}


@dataclass(frozen=True)
class IWP(Pruner):
    """The paper's method; the defaults are the paper's settings.

    Attributes:
        magnitude: what says how much a token matters. "kernel_value": Eq. 10.
        query: whose queries ask. "text": the text after the last visual token; "last": the last
            prompt token; "image": the visual tokens themselves.
        duplication: what says how alike two tokens are. "dual": Eq. 12; "none": nothing, the
            tokens of highest magnitude are kept.
        rope_magnitude: take the magnitude's queries and keys after rotary.
        rope_duplication: take the duplication's keys after rotary.
        chunk: tokens of the first chunk of Algorithm 1.
        growth: factor by which chunks grow.
        penalty: lambda of Algorithm 1, the weight of duplication.
        floor: the least factor a penalty multiplies a score with.
        normalizer: how heads are made comparable: see `dual.magnitude_of_query`.
        bandwidth: width of the Gaussian over keys: see `dual.kernel_width`.

    Raises:
        InputError: an option has a value that is not available.
    """

    name: ClassVar[str] = "iwp"

    magnitude: str = "kernel_value"
    query: str = "text"
    duplication: str = "dual"
    rope_magnitude: bool = False
    rope_duplication: bool = True
    chunk: int = 2
    growth: int = 2
    penalty: float = 5.0
    floor: float = 0.01
    normalizer: str = "eta"
    bandwidth: str = "sqrt_d"

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, choices in _CHOICES.items():
            value = getattr(self, option)
            if value not in choices:
                raise InputError(f"IWP's {option} is one of {', '.join(choices)}, not {value!r}.")
        if self.chunk < 1 or self.growth < 1:
            raise InputError("IWP's chunk and growth are at least 1.")
        if not (self.penalty >= 0 and 0 <= self.floor <= 1):
            raise InputError("IWP's penalty is at least 0 and its floor between 0 and 1.")

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`."""
        scores = self.scores(view)
        return Ranking(ranks=ranks_of(self._order(view, scores, view.n)), scores=scores)

    def select(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor | None]:
        """See `Pruner.select`. Stops as soon as `keep` tokens are chosen."""
        scores = self.scores(view)
        return self._order(view, scores, keep).sort().values, scores

    def scores(self, view: LayerView) -> Tensor:
        """(n,) float32 information magnitudes in [0, 1]."""
        rows = {"text": view.text, "last": view.prompt[-1:], "image": view.visual}[self.query]
        queries, keys = view.queries(rows), view.keys
        if self.rope_magnitude:
            queries, keys = view.rotate(queries, rows), view.rotate(keys, view.prompt)
        return dual.magnitude_of_query(
            dual.mean_query(queries),
            keys,
            view.visual_values,
            view.visual_in_prompt,
            self.normalizer,
        )

    def _order(self, view: LayerView, scores: Tensor, keep: int) -> Tensor:
        if self.duplication == "none":
            return scores.argsort(descending=True, stable=True)[:keep]
        keys = view.visual_keys
        if self.rope_duplication:
            keys = view.rotate(keys, view.visual)
        return progressive_chunked_mmr(
            scores,
            keys,
            view.visual_values,
            keep,
            chunk=self.chunk,
            growth=self.growth,
            penalty=self.penalty,
            floor=self.floor,
            bandwidth=self.bandwidth,
        )
