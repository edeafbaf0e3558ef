"""The hooks of one `prune` block that find the prompts; `iwp.stage` cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from iwp.deepstack import DeepStack
from iwp.errors import IWPError
from iwp.prompt import separators
from iwp.pruners.base import Pruner
from iwp.shortened import CutCache
from iwp.stage import stages_of
from iwp.step import Step
from iwp.support import cache_in, check_call
from iwp.tower import Given, Watch
from iwp.types import Trace


class Cutter:
    """Finds the prompts, and tells the stages of a method what is about to reach them."""

    def __init__(
        self,
        model: Any,
        decoder: Any,
        pruner: Pruner,
        visual: Tensor | None,
        towers: Given | Watch | None = None,
    ) -> None:
        self.trace = Trace()
        self._model = model
        self.stages = stages_of(decoder, pruner, self.trace)
        self._pruner = pruner
        ids = (getattr(model.config, f"{kind}_token_id", None) for kind in ("image", "video"))
        self._placeholders = [number for number in ids if number is not None]
        self._given = visual
        self._towers = towers
        self._visual: Tensor | None = None

    # --- before the layers --------------------------------------------------------------

    def before_model(self, _: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> None:
        """Find the visual tokens while there still are placeholder ids."""
        check_call(call)
        cache = cache_in(call)
        new_prompt = cache is None or cache.get_seq_length() == 0
        ids = call.get("input_ids", args[0] if args else None)
        if self._given is not None:
            self._visual = _as_mask(self._given, call) if new_prompt else None
        elif ids is not None:
            # What the model itself writes is text, whatever its id.
            shows = new_prompt or any(_shows_a_picture(*argument) for argument in call.items())
            ids = ids.cpu()  # rows are counted on the host: nothing waits for the device at a cut
            self._visual = self._are_placeholders(ids) if shows else None
            kinds = [number for number in self._placeholders if bool((ids == number).any())]
            if shows and len(kinds) > 1 and self._towers is not None:
                raise IWPError(
                    "A method that looks at the vision tower reads pictures or videos, not both in "
                    "one call."
                )
        elif new_prompt:
            raise IWPError("A prompt of embeddings needs prune(..., visual=positions).")
        changes = self._pruner.budget != 1 or self._pruner.merges
        if self._visual is not None and changes and self._visual[:, -1].any():
            raise IWPError(
                "Put text after the picture, and read the prompt in one piece: the last token that "
                "is read cannot be dropped."
            )

    def before_decoder(self, _: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> Any:
        """Tell a new prompt from the continuation of a cut one."""
        if self.stages:
            self.stages[0].expect(None)
        cache: Any = cache_in(call)
        batch, new = call["inputs_embeds"].shape[:2]
        past = 0 if cache is None else int(cache.get_seq_length())
        visual, self._visual = self._visual, None
        if visual is not None or past == 0:
            counts = [0] * batch if visual is None else visual.sum(dim=1).tolist()
            self.trace.n_visual += counts
            visual = visual if any(counts) else None
        before = [stage.before(cache if past else None) for stage in self.stages]
        if not before or (visual is None and not any(one.read for one in before)):
            return None
        from_start = before[0].removed > 0 and self.stages[0].layer == 0
        past += before[0].removed if from_start else 0
        self._check(before, past, new, call)
        mask, positions = call.get("attention_mask"), call.get("position_ids")
        step = Step(visual, before[0], past, new, mask, positions)
        if visual is not None:
            if from_start:
                raise IWPError(
                    "After a cut before layer 0 no other picture fits into the same cache: cut "
                    "before layer 1 or later, or start with an empty cache."
                )
            step.deepstack = DeepStack.of(call)
            step.separators = tuple(
                separators(self._model, embeds, rows.nonzero().flatten())
                for embeds, rows in zip(call["inputs_embeds"], visual, strict=True)
            )
            if any(cut.needs_embeddings for cut in self._pruner.cuts):
                step.enter(call["inputs_embeds"])
            if self._towers is not None:
                step.towers = self._towers.take(counts)
        self.stages[0].expect(step)
        if step.deepstack is not None:
            return args, step.deepstack.put(call)
        return (args, step.counted(call)) if from_start else None

    def _check(
        self, before: Sequence[CutCache], length: int, new: int, call: dict[str, Any]
    ) -> None:
        """Refuse a cache or a mask that do not fit what the stages have cut."""
        mask = call.get("attention_mask")
        for stage, cut in zip(self.stages, before, strict=True):
            if cut.read:
                short = int(cache_in(call).get_seq_length(stage.layer))
                cut.check(length, short, new, mask, call["inputs_embeds"].shape[0])
                length, mask = length - cut.removed, None  # later stages see what is left

    def _are_placeholders(self, ids: Tensor) -> Tensor:
        return torch.isin(ids, torch.tensor(self._placeholders, dtype=ids.dtype, device=ids.device))


def _as_mask(visual: Tensor, call: dict[str, Any]) -> Tensor:
    """Positions (n,) of one prompt or a mask (B, S) of several, as a mask on the CPU.

    `generate()` makes several rows of each prompt, one after another.
    """
    like = call.get("inputs_embeds")
    like = call["input_ids"] if like is None else like
    rows, length = like.shape[:2]
    mask = visual.cpu()
    if visual.dtype != torch.bool:
        mask = torch.zeros((1, length), dtype=torch.bool)
        mask[0, visual.cpu()] = True
    fits = mask.ndim == 2 and mask.shape[1] == length and rows % mask.shape[0] == 0
    copies = rows // mask.shape[0] if fits else 0
    if not fits or (
        copies > 1 and not torch.equal(like[::copies].repeat_interleave(copies, dim=0), like)
    ):
        raise IWPError(
            f"Visual tokens of a batch are told by a mask, here of {rows} x {length}: "
            "prune(..., visual=mask)."
        )
    return mask.repeat_interleave(copies, dim=0)


def _shows_a_picture(name: str, value: Any) -> bool:
    return value is not None and name.startswith(("pixel_values", "mm_encoder_outputs"))
