"""TokenMap: the picture with its kept patches lit, redrawn for any budget in the browser.

The server sends the rank of every visual token once for each side, and how many tokens each budget
keeps, so moving the slider needs no request. Methods that choose anew for every budget are drawn
from what `KeptTokens` hands over. Of a video it shows the frames one by one, or all at once.

There are three events: `release`, fired when the person lets go of the budget, with the fields
`budget` (a fraction) and `seq` (rising number of the release); `picked`, with `kept`, one bit for
each token that a hand picked, and the `id` of the map; and `export`, with what is shown of a video:
see `iwp.ui.exports`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from gradio.data_classes import FileData, GradioModel

from iwp import overlay
from iwp.pruners import HandPicked
from iwp.ui.kept_at import kept_at, redraws
from iwp.ui.sides import called
from iwp.ui.token_sides import SideData, side_data

if TYPE_CHECKING:
    from iwp.events import Ranked
    from iwp.recordings import Recording
    from iwp.types import TokenGrid
    from iwp.ui.visitors import Asked

_HERE: Final = Path(__file__).parent
HTML: Final = (_HERE / "token_map.html").read_text("utf-8")
CSS: Final = (_HERE / "token_map.css").read_text("utf-8")
_COLOURS: Final = json.dumps({"left": overlay.ONLY_LEFT, "right": overlay.ONLY_RIGHT})
# One script for the browser: what is kept, how a grid is drawn, then the widget around it.
_PARTS: Final = (
    *("token_look", "token_sides", "token_grid"),
    *("token_map", "token_fresh", "token_arrival", "token_words", "token_cell"),
    *("token_hand", "token_frames", "token_controls"),
)
JS: Final = "\n".join(
    (f"const COLOURS = {_COLOURS};", *((_HERE / f"{n}.js").read_text("utf-8") for n in _PARTS))
)


class GridData(GradioModel):
    """Where one grid of tokens lies: see `iwp.types.TokenGrid`."""

    id: str
    label: str
    rows: int
    cols: int
    stride: int
    offset: int
    frame: int = 0  # number of the frame, of several the first
    blocks: list[list[float]]


class FrameData(GradioModel):
    """One frame of a video, and the seconds at which it is shown."""

    file: FileData
    time: float


class TokenMapData(GradioModel):
    """A picture and its tokens. `id` changes whenever the browser must load it anew.

    Of a video `picture` is the first of its `frames`; a picture has none. `question` and `file` are
    what was asked: the form may have changed since.
    """

    id: str
    picture: FileData
    question: str
    file: str
    width: int
    height: int
    n: int = 0
    budget: float
    snap: bool = False  # whether the slider goes to `budget`, or the answer to the slider
    convention: str = "cut"
    grids: list[GridData]
    sides: list[SideData]  # left and right; only the right one beside every visual token
    frames: list[FrameData]


def unranked(asked: Asked) -> TokenMapData:
    """The picture alone, shown while its tokens are not ranked yet."""
    width, height = asked.media.size
    return TokenMapData(
        id=f"{asked.run_id}/picture",
        picture=FileData(path=asked.picture),
        question=asked.question,
        file=asked.file,
        width=width,
        height=height,
        budget=asked.budget,
        convention=asked.sides.convention,
        grids=[],
        sides=[],
        frames=_frames(asked),
    )


def ranked(asked: Asked, event: Ranked | Recording) -> TokenMapData:
    """The picture with the order of its visual tokens on each side.

    Args:
        asked: the comparison.
        event: where the tokens lie, and their ranks, just found or recorded.
    """
    layout, convention = event.layout, asked.sides.convention
    rankings = (event.rival, event.ranking) if event.rival is not None else (event.ranking,)
    sides = [
        side_data(
            called(pruner),
            ranking,
            kept_at(pruner, convention, layout.n, asked.sides.layers) if redraws(pruner) else None,
            merges=pruner.merges,
            fixed=isinstance(pruner, HandPicked),
        )
        for pruner, ranking in zip(asked.sides.pruners, rankings, strict=True)
    ]
    return TokenMapData(
        id=ranked_id(asked.run_id),
        picture=FileData(path=asked.picture),
        question=asked.question,
        file=asked.file,
        width=layout.width,
        height=layout.height,
        n=layout.n,
        budget=asked.budget,
        snap=asked.recording is not None,
        convention=convention,
        grids=[_grid_data(grid) for grid in layout.grids],
        sides=sides,
        frames=_frames(asked),
    )


def ranked_id(run_id: str) -> str:
    """The `id` of a comparison's map once its tokens are ranked."""
    return f"{run_id}/ranked"


def _frames(asked: Asked) -> list[FrameData]:
    shown = zip(asked.frames, asked.media.times, strict=False)  # a picture has a time, too
    return [FrameData(file=FileData(path=file), time=time) for file, time in shown]


def _grid_data(grid: TokenGrid) -> GridData:
    return GridData(
        id=grid.id,
        label=grid.label,
        rows=grid.rows,
        cols=grid.cols,
        stride=grid.stride,
        offset=grid.offset,
        frame=grid.frame,
        blocks=[
            [b.r0, b.r1, b.c0, b.c1, *(round(v, 3) for v in (b.x0, b.y0, b.x1, b.y1))]
            for b in grid.blocks
        ],
    )


class TokenMap(gr.HTML):
    """The widget: overlay modes, token grids, tooltip, budget slider and PNG download."""

    # A data model, not a bare dict: gradio then serves the picture and checks its path.
    data_model = TokenMapData

    def __init__(self, **options: Any) -> None:
        super().__init__(
            html_template=HTML,
            css_template=CSS,
            js_on_load=JS,
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
