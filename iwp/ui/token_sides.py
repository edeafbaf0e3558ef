"""What the browser is told of each side: the order of its tokens, or which ones it keeps."""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from gradio.data_classes import GradioModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from iwp.types import Ranking

# The newest selections, on their way to the widget without the map that they belong to.
_JS = """
const show = () => {
    const map = document.querySelector("#token-map .token-map");
    if (map && map.tokenMap) map.tokenMap.select(props.value);
};
watch("value", show);
"""


class SideData(GradioModel):
    """One side on the wire. Arrays are base64 of little-endian integers.

    Counts are uint16 where n is below 65535, uint32 elsewhere. A side without `ranks` does not
    redraw while the budget moves: it keeps what `KeptData` says.
    """

    name: str
    merges: bool
    fixed: bool = False  # keeps the same at every budget
    scores: str  # (n,) uint16: 0 is `low`, 65535 is `high`
    low: float
    high: float
    ranks: str | None = None  # (n,) counts
    kept_at: str | None = None  # (1000,) counts: tokens at each 0.1 %, more than n: out of reach
    twins: str | None = None  # (n,) counts: the token that duplicates each most, its own: none does
    weight: str | None = None  # (n + 1,) uint16: dual weight kept by the first m, 65535 is all


class KeptData(GradioModel):
    """Which tokens were kept at one budget, for the sides of the map with the same `id`."""

    id: str
    budget: float
    kept: list[str | None]  # for each side one bit a token, lowest bit first; None: not known yet


class KeptTokens(gr.HTML):
    """Hands its value to the token map. Shows nothing of its own.

    A component apart because an answer's events send all their outputs again with every word.
    """

    data_model = KeptData

    def __init__(self, **options: Any) -> None:
        super().__init__(html_template="<i hidden></i>", js_on_load=_JS, **options)

    def postprocess(self, value: KeptData | None) -> KeptData | None:
        """Send the value as it is."""
        return value

    def preprocess(self, payload: KeptData | None) -> KeptData | None:
        """Never an input of an event, but gradio asks every component for this."""
        return payload

    def api_info(self) -> dict[str, Any]:
        """JSON schema of the value."""
        return {"type": "object", "title": "KeptData"}


def side_data(
    name: str,
    ranking: Ranking,
    kept_at: NDArray[np.int64] | None,
    *,
    merges: bool = False,
    fixed: bool = False,
) -> SideData:
    """One side's ranking for the browser.

    Args:
        name: of the method, for people.
        ranking: ranks and scores, both (n,).
        kept_at: (1000,) tokens that the method keeps at each 0.1 % of budget, negative where it is
            out of reach; None for a method that chooses anew for every budget.
        merges: whether the method puts tokens together.
        fixed: whether it keeps the same at every budget.
    """
    n = len(ranking.ranks)
    counts = "<u2" if n < 65535 else "<u4"
    scores = np.nan_to_num(ranking.scores.double().numpy())
    low, high = float(scores.min(initial=np.inf)), float(scores.max(initial=-np.inf))
    side = SideData(
        name=name,
        merges=merges,
        fixed=fixed,
        scores=_base64(np.rint((scores - low) / ((high - low) or 1.0) * 65535), "<u2"),
        low=low,
        high=high,
    )
    if ranking.twins is not None:
        side.twins = _base64(ranking.twins.numpy(), counts)
    if kept_at is None:
        return side
    side.ranks = _base64(ranking.ranks.numpy(), counts)
    side.kept_at = _base64(np.where(kept_at < 0, n + 1, kept_at), counts)
    if ranking.weight_errors is not None:
        share = (1.0 - ranking.weight_errors.double().numpy()).clip(0, 1)
        side.weight = _base64(np.rint(share * 65535), "<u2")
    return side


def kept_bits(n: int, kept: Collection[int]) -> str:
    """The numbers of the kept tokens, of n, as `KeptData` has them."""
    bits = np.zeros(n, dtype=bool)
    bits[list(kept)] = True
    return base64.b64encode(np.packbits(bits, bitorder="little").tobytes()).decode("ascii")


def _base64(values: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode("ascii")
