"""What a ranking loses at every budget, measured on the layer that is about to be cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from iwp import fidelity

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView

MEASURES = ("attention_output", "dual_weight")
"""The relative errors that `error_curve` can measure."""


def error_curve(view: LayerView, order: Tensor, measure: str = "dual_weight") -> Tensor:
    """Relative error after keeping the first m visual tokens of a ranking, for every m.

    Args:
        view: the layer and the prompt.
        order: (n,) int64 all visual tokens, the one that is kept longest first.
        measure: "dual_weight": `fidelity.dual_weight_curve` of the visual tokens;
            "attention_output": `fidelity.attention_output_curve` of the text that asks, the
            causal attention that the layer itself computes.

    Returns:
        (n + 1,) float32 on the view's device, from m = 0 to m = n, where it is 0.
    """
    if measure == "dual_weight":
        keys = view.rotate(view.visual_keys, view.visual)
        return fidelity.dual_weight_curve(keys, view.visual_values, order)
    if measure != "attention_output":
        raise ValueError(f"unknown measure {measure!r}")
    return fidelity.attention_output_curve(
        view.rotate(view.queries(view.text), view.text),
        view.rotate(view.keys, view.prompt),
        view.values,
        torch.searchsorted(view.prompt, view.text),
        view.visual_in_prompt,
        order,
    )
