"""The hooks of one `prune` block, and what they remember from one forward pass to the next."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from iwp.deepstack import DeepStack
from iwp.errors import IWPError
from iwp.measure import Stopwatch
from iwp.prompt import Entered, Memory, Prompt, separators
from iwp.pruners.base import Pruner
from iwp.rows import Rows
from iwp.shortened import CutCache, Shortened
from iwp.step import Step
from iwp.support import check_call, kernel_of
from iwp.types import Cut, Trace

_UNCUT = CutCache()


class Cutter:
    """Finds the prompts, cuts them, and keeps later layers in step with the cut."""

    def __init__(self, model: Any, decoder: Any, pruner: Pruner, visual: Tensor | None) -> None:
        self.trace = Trace()
        self._model = model
        self.memory = Memory()  # of the layer before the cut, for a method that looks back
        self._kernel = kernel_of(decoder)
        self._final_norm = decoder.norm
        self._pruner = pruner
        ids = (getattr(model.config, f"{kind}_token_id", None) for kind in ("image", "video"))
        self._placeholders = [number for number in ids if number is not None]
        self._given = visual
        self._visual: Tensor | None = None
        self._step: Step | None = None
        self._short: Shortened | None = None
        self._by_cache: weakref.WeakKeyDictionary[Any, CutCache] = weakref.WeakKeyDictionary()

    # --- before the layers --------------------------------------------------------------

    def before_model(self, _: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> None:
        """Find the visual tokens while there still are placeholder ids."""
        check_call(call)
        cache = call.get("past_key_values")
        new_prompt = cache is None or cache.get_seq_length() == 0
        ids = call.get("input_ids", args[0] if args else None)
        if self._given is not None:
            self._visual = _as_mask(self._given, call) if new_prompt else None
        elif ids is not None:
            # What the model itself writes is text, whatever its id.
            shows = new_prompt or any(_shows_a_picture(*argument) for argument in call.items())
            self._visual = self._are_placeholders(ids) if shows else None
        elif new_prompt:
            raise IWPError("A prompt of embeddings needs prune(..., visual=positions).")
        if self._visual is not None and self._pruner.budget != 1 and self._visual[:, -1].any():
            raise IWPError(
                "Put text after the picture, and read the prompt in one piece: the last token that "
                "is read cannot be dropped."
            )

    def before_decoder(self, _: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> Any:
        """Tell a new prompt from the continuation of a cut one."""
        self._step, self._short = None, None
        cache: Any = call.get("past_key_values")
        mask = call.get("attention_mask")
        batch, new = call["inputs_embeds"].shape[:2]
        past = 0 if cache is None else int(cache.get_seq_length())
        before = self._by_cache.get(cache, _UNCUT) if past else _UNCUT
        visual, self._visual = self._visual, None
        if visual is not None or past == 0:
            counts = [0] * batch if visual is None else visual.sum(dim=1).tolist()
            self.trace.n_visual += counts
            visual = visual if any(counts) else None
        if before.removed:
            past += before.removed if self._pruner.layer == 0 else 0
            before.check(past, int(cache.get_seq_length(self._pruner.layer)), new, mask, batch)
        elif visual is None:
            return None
        step = Step(call, visual, before, past)
        if visual is not None:
            if before.removed and self._pruner.layer == 0:
                raise IWPError(
                    "After a cut before layer 0 no other picture fits into the same cache: cut "
                    "before layer 1 or later, or start with an empty cache."
                )
            step.deepstack = DeepStack.of(call)
            step.separators = tuple(
                separators(self._model, embeds, rows.to(embeds.device).nonzero().flatten())
                for embeds, rows in zip(call["inputs_embeds"], visual, strict=True)
            )
        self._step = step
        if step.deepstack is not None:
            return args, step.deepstack.put(call)
        if before.removed and self._pruner.layer == 0:
            return args, step.counted(call)
        return None

    # --- between the layers -------------------------------------------------------------

    def at_cut(self, layer: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> Any:
        """Drop rows of a new prompt, and shorten what the first layer after the cut is given."""
        step, self._step = self._step, None
        previous = self.memory.take()
        if step is None:
            return None
        now = Entered(layer, args, call)
        rows = None if step.visual is None else self._chosen(step, step.visual, now, previous)
        cache = call.get("past_key_values")
        if rows is None:
            if not step.before.removed:
                return None
            real = step.before.real_rows(step.mask, step.total)
        else:
            after = step.after(rows)
            real = after.real_rows(step.mask, step.total)
            if cache is not None:
                self._by_cache[cache] = after
            if step.deepstack is not None:
                step.deepstack.cut(rows, self._pruner.layer)
            args = (rows.take(args[0]), *args[1:])
        past = step.past - step.before.removed
        self._short = Shortened(self._kernel, rows, real, past)
        return self._short.reading(args, call)

    def after_cut(self, _: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> Any:
        """Shorten what the layers after that are given."""
        return None if self._short is None else self._short.reading(args, call)

    # --- the choice ---------------------------------------------------------------------

    @torch.no_grad()  # the choice alone: the rows that go on keep their gradients
    def _chosen(
        self, step: Step, visual: Tensor, now: Entered, previous: Entered | None
    ) -> Rows | None:
        """The rows that go on, or None where all do."""
        hidden = now.args[0]
        stays = step.new_rows(visual)
        kept: list[Cut] = []
        for row, shown in enumerate(visual):
            numbers = shown.nonzero().flatten()
            if row and _same_prompt(row, stays, visual, hidden):
                cut = replace(kept[-1], seconds=0.0)  # a beam, or another answer to one prompt
            elif numbers.shape[0] == 0:
                cut = Cut(self._pruner.layer, numbers.cpu())
            else:
                ends = step.separators[row]
                prompt = Prompt.of(
                    hidden.shape[1], numbers, stays[row][None], ends, self._final_norm
                )
                watch = Stopwatch(hidden.device)
                chosen, scores = self._pruner.choose(prompt.view(*now, row, previous))
                scores = None if scores is None else scores.cpu()
                cut = Cut(self._pruner.layer, chosen.cpu(), scores, watch.seconds())
            kept.append(cut)
        self.trace.cuts += kept
        goes_on = stays & ~visual
        for row, cut in enumerate(kept):
            numbers = visual[row].nonzero().flatten()
            goes_on[row, numbers[cut.kept.to(numbers.device)]] = True
        return None if torch.equal(goes_on, stays) else Rows.packed(goes_on)

    def _are_placeholders(self, ids: Tensor) -> Tensor:
        return torch.isin(ids, torch.tensor(self._placeholders, dtype=ids.dtype, device=ids.device))


def _as_mask(visual: Tensor, call: dict[str, Any]) -> Tensor:
    """Positions (n,) of one prompt or a mask (B, S) of several, as a mask for every row.

    `generate()` makes several rows of each prompt, one after another.
    """
    like = call.get("inputs_embeds")
    like = call["input_ids"] if like is None else like
    rows, length = like.shape[:2]
    mask = visual.to(like.device)
    if visual.dtype != torch.bool:
        mask = torch.zeros((1, length), dtype=torch.bool, device=like.device)
        mask[0, visual.to(like.device)] = True
    fits = mask.ndim == 2 and mask.shape[1] == length and rows % mask.shape[0] == 0
    copies = rows // mask.shape[0] if fits else 0
    if not fits or not torch.equal(like[::copies].repeat_interleave(copies, dim=0), like):
        raise IWPError(
            f"Visual tokens of a batch are told by a mask, here of {rows} x {length}: "
            "prune(..., visual=mask)."
        )
    return mask.repeat_interleave(copies, dim=0)


def _shows_a_picture(name: str, value: Any) -> bool:
    return value is not None and name.startswith(("pixel_values", "mm_encoder_outputs"))


def _same_prompt(row: int, *tables: Tensor) -> bool:
    """Whether this row of a batch equals the one before it in all tables."""
    return all(torch.equal(table[row], table[row - 1]) for table in tables)
