"""One question of the exam, answered by a model at one setting or at many."""

from __future__ import annotations

from typing import Any

import torch

from iwp.adapters.base import VLM, Inputs
from iwp.errors import InputError
from iwp.generate import decode
from iwp.pruners import Pruner
from iwp.pruning import prune
from iwp.trunk import Trunk

MAX_NEW_TOKENS = 6


@torch.no_grad()
def answer(vlm: VLM, inputs: Inputs, pruner: Pruner | None) -> tuple[str, torch.Tensor | None]:
    """The greedy answer of stock `generate()` and the visual tokens that were kept.

    Raises:
        InputError: the model's decoder reads more than embeddings, which `generate()` takes no
            other way.
    """
    if inputs["positions"] is not None or inputs["extra"]:
        raise InputError("This model needs --shared: generate() cannot be given its positions.")
    embeds, visual = inputs["embeds"], inputs["visual"]
    call: dict[str, Any] = {
        "inputs_embeds": embeds,
        "attention_mask": torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device),
    }
    call |= {"max_new_tokens": MAX_NEW_TOKENS, "do_sample": False}
    if pruner is None:
        return vlm.adapter.decode_text(vlm.model.generate(**call)[0].tolist()), None
    with prune(vlm.model, pruner, visual=visual) as trace:
        ids = vlm.model.generate(**call)[0].tolist()
    return vlm.adapter.decode_text(ids), trace.cuts[-1].kept if trace.cuts else None


class Shared:
    """Answers one question at many settings; the layers before each cut run once."""

    def __init__(self, vlm: VLM, inputs: Inputs) -> None:
        self._vlm, self._inputs = vlm, inputs
        self._trunks: dict[int, Trunk] = {}

    def answer(self, pruner: Pruner | None) -> tuple[str, torch.Tensor | None]:
        """As `answer`, by our own greedy loop."""
        layer = int(self._vlm.pruner.get("layer", 4)) if pruner is None else pruner.layer
        if layer not in self._trunks:
            self._trunks[layer] = Trunk(self._vlm.model, **self._inputs, layer=layer)
        state = self._trunks[layer].prefill(pruner)
        ids = decode(self._vlm.model, state, MAX_NEW_TOKENS, self._vlm.adapter.stop_ids)
        cuts = state.trace.cuts
        return self._vlm.adapter.decode_text(ids), cuts[-1].kept if cuts else None
