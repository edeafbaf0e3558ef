"""TokenMap: the picture with its kept patches lit, redrawn for any budget in the browser.

The server sends the rank of every visual token once; the browser keeps `rank < keep_count(n, b)`,
so moving the slider needs no request. The one event is `release`, fired when the person lets go of
the budget, with the fields `budget` (a fraction) and `seq` (rising number of the release).
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
import numpy as np
from gradio.data_classes import FileData, GradioModel

if TYPE_CHECKING:
    from iwp.types import Ranking, TokenGrid, VisualLayout

_HERE: Final = Path(__file__).parent
_HTML: Final = (_HERE / "token_map.html").read_text("utf-8")
_CSS: Final = (_HERE / "token_map.css").read_text("utf-8")
# One script for the browser: how a grid is drawn, then the widget around it.
_JS: Final = "\n".join(
    (_HERE / name).read_text("utf-8")
    for name in ("token_grid.js", "token_map.js", "token_controls.js")
)


class GridData(GradioModel):
    """One token grid on the wire. Arrays are base64 of little-endian integers."""

    id: str
    label: str
    rows: int
    cols: int
    stride: int
    offset: int
    blocks: list[list[float]]
    ranks: str  # (rows * cols,) uint32
    scores: str  # (rows * cols,) uint16: 0 is `low`, 65535 is `high`
    low: float
    high: float
    row_ends: str | None = None  # (rows,) uint32 ranks of the row-end tokens


class TokenMapData(GradioModel):
    """A picture and its ranked tokens. `id` changes whenever the browser must load it anew."""

    id: str
    picture: FileData
    width: int
    height: int
    n: int = 0
    budget: float
    grids: list[GridData]
    weight: str | None = None  # (n + 1,) uint16: dual weight kept by the first m, 65535 is all


def unranked(run_id: str, picture: str, size: tuple[int, int], budget: float) -> TokenMapData:
    """The picture alone, shown while its tokens are not ranked yet. `size` is (width, height)."""
    return TokenMapData(
        id=f"{run_id}/picture",
        picture=FileData(path=picture),
        width=size[0],
        height=size[1],
        budget=budget,
        grids=[],
    )


def ranked(
    run_id: str, picture: str, layout: VisualLayout, ranking: Ranking, budget: float
) -> TokenMapData:
    """The picture with the rank and score of every visual token.

    Args:
        run_id: a new name for every comparison.
        picture: file of the decoded picture, inside the page's upload cache.
        layout: where the n tokens lie on the picture.
        ranking: ranks and scores, both (n,).
        budget: the fraction that the server is answering with.
    """
    ranks = ranking.ranks.numpy()
    scores = ranking.scores.float().numpy()
    return TokenMapData(
        id=f"{run_id}/ranked",
        picture=FileData(path=picture),
        width=layout.width,
        height=layout.height,
        n=layout.n,
        budget=budget,
        grids=[_grid_data(grid, ranks, scores) for grid in layout.grids],
        weight=_weight(ranking),
    )


def _weight(ranking: Ranking) -> str | None:
    if ranking.weight_errors is None:
        return None
    kept = (1.0 - ranking.weight_errors.double().numpy()).clip(0, 1)
    return _base64(np.rint(kept * 65535), "<u2")


def _grid_data(
    grid: TokenGrid, ranks: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]
) -> GridData:
    numbers = grid.offset + np.arange(grid.rows * grid.stride).reshape(grid.rows, grid.stride)
    cells = numbers[:, : grid.cols].reshape(-1)
    cell_scores = np.nan_to_num(scores[cells].astype(np.float64))
    low, high = float(cell_scores.min()), float(cell_scores.max())
    steps = np.rint((cell_scores - low) / ((high - low) or 1.0) * 65535)
    return GridData(
        id=grid.id,
        label=grid.label,
        rows=grid.rows,
        cols=grid.cols,
        stride=grid.stride,
        offset=grid.offset,
        blocks=[
            [b.r0, b.r1, b.c0, b.c1, *(round(v, 3) for v in (b.x0, b.y0, b.x1, b.y1))]
            for b in grid.blocks
        ],
        ranks=_base64(ranks[cells], "<u4"),
        scores=_base64(steps, "<u2"),
        low=low,
        high=high,
        row_ends=_base64(ranks[numbers[:, grid.cols]], "<u4") if grid.newline else None,
    )


def _base64(values: np.ndarray[Any, Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode("ascii")


class TokenMap(gr.HTML):
    """The widget: overlay modes, token grids, tooltip, budget slider and PNG download."""

    # A data model, not a bare dict: gradio then serves the picture and checks its path.
    data_model = TokenMapData

    def __init__(self, **options: Any) -> None:
        super().__init__(
            html_template=_HTML,
            css_template=_CSS,
            js_on_load=_JS,
            apply_default_css=False,
            **options,
        )

    def postprocess(self, value: TokenMapData | None) -> TokenMapData | None:
        """Send the value as it is; `None` empties the widget."""
        return value

    def preprocess(self, payload: TokenMapData | None) -> TokenMapData | None:
        """The widget is never an input of an event, but gradio asks every component for this."""
        return payload

    def api_info(self) -> dict[str, Any]:
        """JSON schema of the value."""
        return {"type": "object", "title": "TokenMapData"}
