"""The rows of one prompt: which are visual, which ask, which end a row of a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from iwp.errors import IWPError
from iwp.pruners.base import LayerView, Pruner
from iwp.types import Embeddings, Tower


class Entered(NamedTuple):
    """A call of a decoder layer, as a forward pre-hook sees it."""

    layer: nn.Module
    args: tuple[Any, ...]
    call: dict[str, Any]


class Memory:
    """A forward pre-hook that remembers the last call of its layer until it is asked for it."""

    def __init__(self) -> None:
        self._last: Entered | None = None

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> None:
        """Remember a call."""
        self._last = Entered(layer, args, call)

    def take(self) -> Entered | None:
        """The last call, which is forgotten: its tensors are large."""
        last, self._last = self._last, None
        return last


@dataclass(frozen=True)
class Prompt:
    """Rows of one prompt, all int64 and ascending.

    Attributes:
        length: number of rows, padding included.
        rows: (p,) all tokens, padding left out.
        visual: (n,) the visual tokens.
        text: (T,) the text after the last visual token; all text where nothing follows it.
        ends_with_text: whether text follows the last visual token.
        separators: (s,) numbers, among the visual tokens, of those that only end a row of a
            picture; None where the model has no such tokens.
        final_norm: the norm after the decoder's last layer.
        n_uncut: visual tokens before the first cut; None where nothing has been cut yet.
        tower: what the vision tower says of the visual tokens; None where nobody asked.
        embeddings: what entered the decoder; None where nobody asked.
    """

    length: int
    rows: Tensor
    visual: Tensor
    text: Tensor
    ends_with_text: bool
    separators: Tensor | None = None
    final_norm: nn.Module | None = None
    n_uncut: int | None = None
    tower: Tower | None = None
    embeddings: Embeddings | None = None

    @classmethod
    def of(
        cls,
        length: int,
        visual: Tensor,
        mask: Tensor | None = None,
        separators: Tensor | None = None,
        final_norm: nn.Module | None = None,
        n_uncut: int | None = None,
        tower: Tower | None = None,
    ) -> Prompt:
        """Sort the rows of a prompt with visual tokens at `visual` (n >= 1).

        `mask` is the (1, length) attention mask, 0 at padding.
        """
        rows = torch.arange(length, device=visual.device)
        if mask is not None:
            rows = rows[mask[0].to(rows.device).bool()]
        words = rows[~torch.isin(rows, visual)]
        after = words[words > visual[-1]]
        found = after.shape[0] > 0
        text = after if found else words
        return cls(length, rows, visual, text, found, separators, final_norm, n_uncut, tower)

    def seen_by(self, pruner: Pruner) -> Prompt:
        """The same with only those extras that the method asks for.

        Raises:
            IWPError: it asks for something that nobody gave.
        """
        asks = any(cut.needs_embeddings for cut in pruner.cuts)
        asked = self if asks else replace(self, embeddings=None)
        if not pruner.needs_tower:
            return replace(asked, tower=None)
        if self.tower is None:
            raise IWPError(
                f"{type(pruner).__name__} looks at the vision tower: give what it found, tower=..."
            )
        return asked

    def entered(self, visual: Tensor, rows: Tensor) -> Prompt:
        """The same with what entered the decoder.

        Args:
            visual: (N, D) of all visual tokens, those that earlier cuts have dropped included.
            rows: (length, D) of the prompt as it is here.
        """
        text = rows[self.text.to(rows.device)]
        return replace(self, embeddings=Embeddings(visual, text))

    def view(
        self,
        layer: nn.Module,
        args: tuple[Any, ...],
        call: dict[str, Any],
        row: int = 0,
        previous: Entered | None = None,
    ) -> LayerView:
        """What a decoder layer is about to see of this prompt, from the arguments of its call.

        `row` is the prompt's row in the batch, `previous` the call of the layer before. The view
        lies on the layer's own device.
        """
        batch = args[0] if args else call["hidden_states"]
        device = _device(layer, batch)
        cos, sin = (
            # Where all prompts have the same positions, there may be one table for all.
            table[min(row, table.shape[0] - 1)].to(device)
            for table in call["position_embeddings"]
        )
        return LayerView(
            layer,
            batch[row].to(device),
            cos,
            sin,
            self.visual.to(device),
            self.text.to(device),
            self.rows.to(device),
            None if self.separators is None else self.separators.to(device),
            None if previous is None else self.view(*previous, row),
            self.final_norm,
            self.n_uncut,
            None if self.tower is None else self.tower.to(device),
            None if self.embeddings is None else self.embeddings.to(device),
        )


def separators(model: Any, embeds: Tensor, visual: Tensor) -> Tensor | None:
    """The row-end tokens among the visual tokens of one prompt.

    Models that end rows of a picture with a token of its own hold that token as a parameter.

    Args:
        model: a transformers vision-language model.
        embeds: (S, D) the prompt as it enters the decoder.
        visual: (n,) int64 rows of the visual tokens.

    Returns:
        (s,) int64 ascending numbers of visual tokens, on the CPU; None where the model has no such
        token.
    """
    newline: Tensor | None = getattr(getattr(model, "model", None), "image_newline", None)
    if newline is None or newline.device.type == "meta":
        return None
    same = embeds[visual] == newline.to(embeds)
    return same.all(dim=-1).cpu().nonzero().flatten()


def _device(layer: nn.Module, batch: Tensor) -> torch.device:
    weight = next(layer.parameters(), None)
    if weight is None or weight.device == batch.device:
        return batch.device
    # Spread or offloaded by accelerate, whose hooks move what a module is given: ask one row.
    probe: Tensor = layer.input_layernorm(batch[:1, :1])  # type: ignore[operator]
    return probe.device
