"""What the page shows at one moment, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from iwp.ui import text, timings

if TYPE_CHECKING:
    from iwp.ui.token_map import TokenMapData
    from iwp.ui.token_sides import KeptData


@dataclass(frozen=True)
class Page:
    """Everything on the page that a run changes, in the order of the event's outputs.

    `sweep` is no output of an answer's events, which leave it as it is.
    """

    token_map: TokenMapData | None = None
    baseline: str = ""
    pruned: str = ""
    timings: str = ""
    status: str = ""
    kept: KeptData | None = None
    busy: bool = False
    sweep: str = ""

    def values(self) -> tuple[Any, ...]:
        """One plain value for every output: for updates gradio would rebuild the components."""
        return (self.token_map, *self.answers())

    def titled(self, left: str, right: str) -> tuple[Any, ...]:
        """The values, with new titles over the answers."""
        token_map, baseline, pruned, timings_, status, kept = self.values()
        answers = (gr.update(label=left, value=baseline), gr.update(label=right, value=pruned))
        return (token_map, *answers, timings_, status, kept)

    def answers(self) -> tuple[Any, ...]:
        """The same without the token map."""
        status = timings.status(self.status, busy=self.busy)
        return (self.baseline, self.pruned, self.timings, status, self.kept)

    def ended(self) -> Page:
        """The last state: nothing moves any more. What is busy to the end was stopped."""
        return replace(self, status=text.STOPPED, busy=False) if self.busy else self
