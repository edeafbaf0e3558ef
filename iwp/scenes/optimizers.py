"""Muon for the matrices, AdamW for the rest, and their learning rates over a training."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

WARM_UP = 60  # steps
FLOOR = 0.03  # of the learning rate at the end


def optimizers(
    model: nn.Module, words: nn.Module, muon_lr: float, adam_lr: float, tower_only: bool
) -> list[Any]:
    """Muon for the matrices, AdamW for the rest; `share` scales a group's learning rate."""
    groups: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in [*model.named_parameters(), *words.named_parameters()]:
        in_tower = "vision_tower" in name or "multi_modal" in name
        if "post_layernorm" in name or (tower_only and "language_model.layers" in name):
            continue
        if parameter.ndim == 2 and ("layers." in name or "multi_modal" in name):
            matches = "q_proj" in name or "k_proj" in name
            groups["tower" if in_tower else "match" if matches else "decoder"].append(parameter)
        else:
            groups["rest"].append(parameter)
    shares = {"tower": 1.0 if tower_only else 0.5, "match": 0.3, "decoder": 1.0}
    matrices = [
        {"params": groups[k], "share": s, "base": muon_lr} for k, s in shares.items() if groups[k]
    ]
    muon = torch.optim.Muon(
        matrices,
        lr=muon_lr,
        weight_decay=0.01,
        momentum=0.95,
        nesterov=True,
        adjust_lr_fn="match_rms_adamw",
    )
    rest = [{"params": groups["rest"], "share": 1.0, "base": adam_lr}]
    adam = torch.optim.AdamW(rest, lr=adam_lr, weight_decay=0.0, betas=(0.9, 0.98), fused=True)
    return [muon, adam]


def set_rate(optimizers: list[Any], step: int, steps: int, decay: float) -> None:
    """Warm up, stay, then fall linearly over the last `decay` share of the steps."""
    left = (steps - step) / max(1.0, steps * decay)
    rate = min(1.0, (step + 1) / WARM_UP) * max(FLOOR, min(1.0, left))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * group["share"] * rate
