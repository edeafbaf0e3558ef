"""IWP: visual tokens by information magnitude and duplication (arXiv 2604.00757)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from iwp import dual, fidelity
from iwp.errors import InputError
from iwp.mmr import ranks_of, select_in_chunks
from iwp.pruners.base import Choice, LayerView, Pruner
from iwp.pruners.errors import MEASURES, error_curve
from iwp.types import Ranking

if TYPE_CHECKING:
    from torch import Tensor

CHOICES = {
    "magnitude": tuple(dual.MAGNITUDES),
    "query": ("text", "image", "last"),
    "duplication": ("dual", "kernel_key", "key", "value", "hidden", "none"),
    "separators": ("prunable", "kept"),
    "normalizer": ("eta", "visual", "none"),
    "bandwidth": ("sqrt_d", "median"),
    "measure": MEASURES,
}
"""The values of every option of `IWP` that is a name; the first is the default."""


@dataclass(frozen=True)
class IWP(Pruner):
    """The paper's method; the defaults are the paper's settings.

    Attributes:
        magnitude: what says how much a token matters (Tables 1 and 2). "kernel_value":
            kappa(q, k_i) ||v_i||, Eq. 10; "kernel": kappa(q, k_i), Eq. 9; "update_norm":
            ||dW_i|| = ||phi(k_i)|| ||v_i||, Eq. 8; "key_norm": ||phi(k_i)||; "value_norm": ||v_i||.
        query: whose queries ask (Table 2). "text": the mean query of the text after the last
            visual token; "image": of the visual tokens; "last": the query of the last text token.
        duplication: what says how alike two tokens are (Table 3), always squared and averaged
            over heads. "dual": cos(dW_i, dW_j), Eq. 12; "kernel_key": cos(phi(k_i), phi(k_j)),
            Eq. 18; "key": cos(k_i, k_j); "value": cos(v_i, v_j); "hidden": cos(h_i, h_j) of the
            layer's input; "none": nothing, the tokens of highest magnitude are kept (Table E.1).
        rope_magnitude: take the magnitude's queries and keys after rotary (Table E.2).
        rope_duplication: take the duplication's keys after rotary (Table E.2).
        chunk: tokens of the first chunk of Algorithm 1 (b0 of Table E.5).
        growth: factor by which chunks grow (g of Table E.5).
        penalty: lambda of Algorithm 1, the weight of duplication (Table E.5).
        floor: the least factor a penalty multiplies a score with.
        normalizer: how heads are made comparable: see `dual.log_magnitude`.
        bandwidth: width of the Gaussian over keys: see `dual.kernel_width`.
        separators: tokens that only end a row of a picture. "prunable": they are tokens like
            others; "kept": they come first, those of highest magnitude foremost, and count.
        tolerance: with budget "auto", the relative error that is put up with, 0 <= tolerance < 1:
            the first tokens of the ranking are kept, as few as make no larger error.
        measure: which error that is: see `iwp.pruners.errors.error_curve`.

    Raises:
        InputError: an option has a value that is not available.
    """

    name: ClassVar[str] = "iwp"
    paper: ClassVar[str | None] = "2604.00757"
    keeps: ClassVar[str] = (
        "high information for the question, little duplication (the paper's method)"
    )
    finds_budget: ClassVar[bool] = True

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
    separators: str = "prunable"
    tolerance: float = 0.25
    measure: str = "attention_output"

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, choices in CHOICES.items():
            value = getattr(self, option)
            if value not in choices:
                raise InputError(f"IWP's {option} is one of {', '.join(choices)}, not {value!r}.")
        if self.chunk < 1 or self.growth < 1:
            raise InputError("IWP's chunk and growth are at least 1.")
        if not (self.penalty >= 0 and 0 <= self.floor <= 1):
            raise InputError("IWP's penalty is at least 0 and its floor between 0 and 1.")
        if not 0 <= self.tolerance < 1:
            raise InputError("IWP's tolerance is at least 0, which keeps all, and below 1.")

    def rank(self, view: LayerView) -> Ranking:
        """See `Pruner.rank`."""
        logs = self.log_scores(view)
        return Ranking(ranks=ranks_of(self._order(view, logs, view.n)), scores=logs.exp())

    def choose(self, view: LayerView) -> Choice:
        """See `Pruner.choose`. With budget "auto" the device is waited for once."""
        if self.budget != "auto":
            return super().choose(view)
        logs = self.log_scores(view)
        order = self._order(view, logs, view.n)
        curve = error_curve(view, order, self.measure)
        keep = fidelity.shortest_prefix(curve, self.tolerance)
        return Choice(order[:keep].sort().values, logs.exp())

    def select(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor | None]:
        """See `Pruner.select`. Stops as soon as `keep` tokens are chosen."""
        logs = self.log_scores(view)
        return self._order(view, logs, keep).sort().values, logs.exp()

    def scores(self, view: LayerView) -> Tensor:
        """(n,) float32 information magnitudes in [0, 1]."""
        return self.log_scores(view).exp()

    def log_scores(self, view: LayerView) -> Tensor:
        """(n,) float32 logarithms of `scores`, which order tokens whose scores underflow."""
        uses = dual.MAGNITUDES[self.magnitude]
        query = self._query(view) if "q" in uses else None
        keys = view.keys if "k" in uses else None
        if keys is not None and query is not None and self.rope_magnitude:
            keys = view.rotate(keys, view.prompt)  # a rotation does not change norms
        values = view.visual_values if "v" in uses else None
        return dual.log_magnitude(query, keys, values, view.visual_in_prompt, self.normalizer)

    def _query(self, view: LayerView) -> Tensor:
        rows = {"text": view.text, "image": view.visual, "last": view.text[-1:]}[self.query]
        queries = view.queries(rows)
        return dual.mean_query(view.rotate(queries, rows) if self.rope_magnitude else queries)

    def _order(self, view: LayerView, logs: Tensor, keep: int) -> Tensor:
        """(keep,) token numbers in the order in which they are chosen."""
        similarity = self._similarity(view)
        steps = (self.chunk, self.growth, self.penalty, self.floor)
        if self.separators == "prunable" or view.separators is None:
            return select_in_chunks(logs, keep, similarity, *steps)
        first = view.separators.to(logs.device)
        first = first[logs[first].argsort(descending=True, stable=True)]
        is_first = torch.zeros(view.n, dtype=torch.uint8, device=logs.device)
        others = is_first.index_fill_(0, first, 1).argsort(stable=True)[: view.n - len(first)]
        left = max(0, keep - len(first))
        among = None if similarity is None else similarity.take(others)
        rest = select_in_chunks(logs[others], left, among, *steps)
        return torch.cat((first, others[rest]))[:keep]

    def _similarity(self, view: LayerView) -> dual.Similarity | None:
        kind = self.duplication
        if kind == "none":
            return None
        if kind == "hidden":
            return dual.similarity_between(None, view.hidden[view.visual][None])
        if kind == "value":
            return dual.similarity_between(None, view.visual_values)
        keys = view.visual_keys
        if self.rope_duplication:
            keys = view.rotate(keys, view.visual)
        if kind == "key":
            return dual.similarity_between(None, keys)
        values = view.visual_values if kind == "dual" else None
        return dual.similarity_between(keys, values, dual.kernel_width(keys, self.bandwidth))
