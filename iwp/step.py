"""One forward pass of a batch, as it is before a cut: the caller's, or what earlier cuts left."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from iwp.chosen import Chosen
from iwp.columns import Columns
from iwp.deepstack import DeepStack
from iwp.prompt import Prompt
from iwp.pruners.base import Choice
from iwp.rows import Rows
from iwp.shortened import CutCache
from iwp.types import Cut, Tower


class Step:
    """S new tokens in each of B rows, after `past` columns of an attention mask.

    The mask is the caller's before the first cut, and counts the rows that are left before a later
    one.

    Attributes:
        visual: (B, S) bool on the CPU, the visual tokens; None where there are none to prune.
        mask: (B, past + S) the attention mask, 0 at padding.
        bias: (B, past + S) float32 what earlier cuts add to the attention scores of each key;
            None: nothing.
        before: what this cut has taken out of the cache so far.
        past: columns of the mask that the cache stands for.
        total: the same with the new tokens.
        separators: for each row, the numbers of the row-end tokens among its visual ones.
        towers: for each row, what the vision tower says of its original visual tokens.
        deepstack: the features that the first layers add to visual rows.
        numbers: for each row, which of its original visual tokens are left; None: all.
        sizes: for each row, how many it had originally.
        into: for each row, what its original visual tokens went into so far; None: merged none.
    """

    def __init__(
        self,
        visual: Tensor | None,
        before: CutCache,
        past: int,
        new: int,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> None:
        self.visual = visual
        self.mask = mask
        self.before = before
        self.past = past
        self.total = past + new
        self.bias: Tensor | None = None
        self.separators: tuple[Tensor | None, ...] = ()
        self.deepstack: DeepStack | None = None
        counts = [] if visual is None else visual.sum(dim=1).tolist()
        self.numbers: tuple[Tensor | None, ...] = (None,) * len(counts)
        self.sizes: tuple[int, ...] = tuple(counts)
        self.into: tuple[Tensor | None, ...] = (None,) * len(counts)
        self.towers: tuple[Tower | None, ...] = (None,) * len(counts)
        self._positions = positions
        self._entered: Tensor | None = None
        self._features: tuple[Tensor, ...] = ()

    def enter(self, embeds: Tensor) -> None:
        """Remember what enters the decoder, (B, S, D), for methods that ask for it."""
        if self.visual is not None:
            places = (shown.nonzero().flatten().to(embeds.device) for shown in self.visual)
            of = zip(embeds, places, strict=True)
            self._entered, self._features = embeds, tuple(rows[shown] for rows, shown in of)

    def prompt(self, row: int, visual: Tensor, real: Tensor, final_norm: nn.Module) -> Prompt:
        """One prompt of the batch as it is now.

        Args:
            row: its number.
            visual: (n,) int64 rows of its visual tokens.
            real: (S,) bool, false where a row is padding.
            final_norm: the norm after the decoder's last layer.
        """
        prompt = Prompt.of(
            real.shape[0],
            visual,
            real[None],
            self.separators[row],
            final_norm,
            self.sizes[row],
            self.tower(row),
        )
        if self._entered is None:
            return prompt
        return prompt.entered(self._features[row], self._entered[row])

    def cut(self, layer: int, row: int, choice: Choice) -> Cut:
        """What a cut before `layer` chose of a row, in numbers of its original visual tokens."""
        numbers, into = self.numbers[row], self._into(row, choice)
        chosen, scores = choice.kept, None if choice.scores is None else choice.scores.cpu()
        if numbers is None:
            tower = self.towers[row]
            return Cut(layer, chosen, scores, 0.0 if tower is None else tower.seconds, into)
        if scores is not None:
            scores = scores.new_zeros(self.sizes[row]).index_copy_(0, numbers, scores)
        return Cut(layer, numbers[chosen], scores, into=into)

    def _into(self, row: int, choice: Choice) -> Tensor | None:
        """(original tokens,) int64 on the CPU: see `Cut.into`."""
        earlier, numbers = self.into[row], self.numbers[row]
        if choice.into is None and earlier is None:
            return None
        if numbers is None:
            numbers = torch.arange(self.sizes[row])
        gone = torch.tensor([-1])
        if choice.into is None:
            now = torch.full(numbers.shape, -1)
            now[choice.kept] = choice.kept
        else:
            now = choice.into.cpu()
        # The place after the last token stands for -1: what went nowhere goes nowhere.
        went = torch.full((self.sizes[row] + 1,), -1)
        went[numbers] = torch.cat((numbers, gone))[now]
        return went[:-1] if earlier is None else went[earlier]

    def shortened(self, chosen: Chosen | None, columns: Columns) -> Step:
        """The pass as it goes on after this cut.

        Args:
            chosen: what the cut left; None where this pass has nothing to choose from.
            columns: what the layers after the cut look at.
        """
        rows = None if chosen is None else chosen.rows
        visual, new = self.visual, self.total - self.past
        if rows is not None:
            new = rows.index.shape[1]
            visual = None if visual is None else rows.take_mask(visual & rows.stays)
        step = Step(visual, CutCache(), self.past - self.before.removed, new, columns.real)
        step.bias = columns.bias
        step.deepstack, step.sizes, step.towers = self.deepstack, self.sizes, self.towers
        step.separators, step.numbers, step.into = self.separators, self.numbers, self.into
        if chosen is not None:
            step.separators = tuple(
                None if ends is None else _numbers_of(ends, choice.kept)
                for choice, ends in zip(chosen.choices, self.separators, strict=True)
            )
            step.numbers = tuple(cut.kept for cut in chosen.cuts)
            step.into = tuple(cut.into for cut in chosen.cuts)
        if self._entered is not None:
            step._entered = self._entered if rows is None else rows.take(self._entered)
            step._features = self._features
        return step

    def tower(self, row: int) -> Tower | None:
        """What the vision tower says of those visual tokens of a row that are left."""
        tower, left = self.towers[row], self.numbers[row]
        return tower if tower is None or left is None else tower.take(left)

    def new_rows(self, like: Tensor) -> Tensor:
        """(B, S) bool, false where a new row is padding, on the device of `like` (B, S)."""
        if self.mask is None:
            return torch.ones_like(like, dtype=torch.bool)
        return self.mask[:, self.past : self.total].to(like.device).bool()

    def after(self, rows: Rows, bias: Tensor | None) -> CutCache:
        """What is cut out of the cache when of the new rows only these go on.

        `bias` (B, S) float32 is what this cut adds to the attention scores of the new keys.
        Text after the last visual token goes on whole in every row and is counted as read later:
        a cache may be cropped back to it, as assisted decoding does with what it guessed wrong.
        """
        changed = ~rows.stays if self.visual is None else ~rows.stays | self.visual
        size = int(changed.any(dim=0).nonzero()[-1]) + 1
        if bias is None and self.bias is not None:
            bias = self.bias[:, self.past :]
        new = Columns(rows.real, None if bias is None else rows.take_columns(bias))
        width, short = self.past - self.before.removed, rows.index.shape[1]
        columns = self.before.columns(self.mask, self.bias, self.past).joined(new, width, short)
        first = self.past + size if self._positions is None else self._positions[..., size, None]
        return CutCache(
            read=self.past + size,
            removed=self.before.removed + rows.removed,
            left=columns.first(width + size - rows.removed),
            next_position=first,
        )

    def counted(self, call: dict[str, Any]) -> dict[str, Any]:
        """The decoder's call after a cut before layer 0.

        No layer has the full length any more, and the decoder would count from the short one.
        """
        device = call["inputs_embeds"].device
        positions = self.before.positions(self.mask, self.total, self.total - self.past)
        real = self.before.columns(self.mask, None, self.total).real
        return {
            **call,
            "position_ids": positions.to(device),
            "attention_mask": None if real is None else real.long().to(device),
        }


def _numbers_of(some: Tensor, kept: Tensor) -> Tensor:
    """Where, among the kept tokens, those are that are some others, too."""
    return torch.isin(kept, some).nonzero().flatten()
