"""What the page shows at one moment, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from iwp.ui import text, timings

if TYPE_CHECKING:
    from iwp.ui.token_map import TokenMapData


@dataclass(frozen=True)
class Page:
    """Everything on the page that a run changes, in the order of the event's outputs."""

    token_map: TokenMapData | None = None
    baseline: str = ""
    pruned: str = ""
    timings: str = ""
    status: str = ""
    busy: bool = False

    def values(self) -> tuple[Any, ...]:
        """One plain value for every output: for updates gradio would rebuild the components."""
        return (self.token_map, *self.answers())

    def answers(self) -> tuple[str, ...]:
        """The same without the token map."""
        status = timings.status(self.status, busy=self.busy)
        return (self.baseline, self.pruned, self.timings, status)

    def ended(self) -> Page:
        """The last state: nothing moves any more. What is busy to the end was stopped."""
        return replace(self, status=text.STOPPED, busy=False) if self.busy else self
