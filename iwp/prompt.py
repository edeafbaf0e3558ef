"""The rows of one prompt, and what is left of masks and tables when some of them are dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from iwp.errors import IWPError
from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class Prompt:
    """Rows of one prompt, all int64 and ascending.

    Attributes:
        length: number of rows, padding included.
        rows: (p,) all tokens, padding left out.
        visual: (n,) the visual tokens.
        text: (T,) the text after the last visual token; all text where nothing follows it.
        ends_with_text: whether text follows the last visual token.
    """

    length: int
    rows: Tensor
    visual: Tensor
    text: Tensor
    ends_with_text: bool

    @classmethod
    def of(cls, length: int, visual: Tensor, mask: Tensor | None = None) -> Prompt:
        """Sort the rows of a prompt with visual tokens at `visual` (n >= 1).

        `mask` is the (1, length) attention mask, 0 at padding.
        """
        rows = torch.arange(length, device=visual.device)
        if mask is not None:
            rows = rows[mask[0].to(rows.device).bool()]
        words = rows[~torch.isin(rows, visual)]
        after = words[words > visual[-1]]
        found = after.shape[0] > 0
        return cls(length, rows, visual, after if found else words, found)

    def view(self, layer: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> LayerView:
        """What a decoder layer is about to see of this prompt, from the arguments of its call."""
        hidden = args[0] if args else call["hidden_states"]
        cos, sin = call["position_embeddings"]
        return LayerView(layer, hidden[0], cos[0], sin[0], self.visual, self.text, self.rows)


class Shortened:
    """A prompt without its dropped rows; shortens what decoder layers are called with.

    Lives as long as the cache that the prompt was read into.
    """

    def __init__(self, prompt: Prompt, kept: Tensor, positions: Tensor | None) -> None:
        stays = torch.ones(prompt.length, dtype=torch.bool, device=kept.device)
        stays[prompt.visual] = False
        stays[prompt.visual[kept]] = True
        self.rows = stays.nonzero().flatten()
        self._length = prompt.length
        last = positions[..., -1:] if positions is not None else prompt.length - 1
        self._next_position = last + 1
        self._seen: dict[str, tuple[Any, Any]] = {}

    def reading(self, call: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments of a layer that reads the shortened prompt."""
        short = dict(call)
        short["position_embeddings"] = self._once(
            "position_embeddings",
            call["position_embeddings"],
            lambda tables: tuple(table.index_select(-2, self.rows) for table in tables),
        )
        short["attention_mask"] = self._once(
            "attention_mask",
            call.get("attention_mask"),
            lambda mask: self._columns(mask, rows_too=True),
        )
        if call.get("position_ids") is not None:
            # The rotary tables carry the true positions. These only tell flash attention where
            # packed sequences begin, and it must not take a gap for a beginning.
            short["position_ids"] = call["position_ids"][..., : self.rows.shape[0]]
        return short

    def mask(self, mask: Tensor | None) -> Tensor | None:
        """The mask of a continuation, without the columns of the dropped rows."""
        short: Tensor | None = self._once("continuation", mask, self._columns)
        return short

    def positions(self, past: int, new: int) -> Tensor:
        """(..., new) positions of `new` tokens after `past` cached ones."""
        start = past - self.rows.shape[0]
        return self._next_position + torch.arange(start, start + new, device=self.rows.device)

    def forget(self) -> None:
        """Let go of what the layers of the last forward pass shared."""
        self._seen.clear()

    def _columns(self, mask: Tensor | None, rows_too: bool = False) -> Tensor | None:
        if mask is None:
            return None
        if not isinstance(mask, Tensor):
            raise IWPError("IWP works with eager, sdpa and flash attention only.")
        later = torch.arange(self._length, mask.shape[-1], device=mask.device)
        mask = mask.index_select(-1, torch.cat((self.rows, later)))
        return mask.index_select(-2, self.rows) if rows_too and mask.ndim == 4 else mask

    def _once(self, name: str, source: Any, shorten: Callable[[Any], Any]) -> Any:
        """`shorten(source)`, computed once for all layers that are given the same object."""
        if name not in self._seen or self._seen[name][0] is not source:
            self._seen[name] = (source, shorten(source))
        return self._seen[name][1]
