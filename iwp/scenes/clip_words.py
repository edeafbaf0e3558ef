"""The decoder's own lesson about clips: what moves and what is new, cell by cell."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from iwp.scenes.crops import ARRIVALS, MOTIONS
from iwp.scenes.patch_words import BACKGROUND_WEIGHT


class ClipWords(nn.Module):
    """Two linear readings of what the early layers know of every cell of every frame.

    "Which shape moves" asks for the one object that is elsewhere than before. Learned from answers
    alone, that takes long: only one of a clip's hundreds of tokens is spoken of in a question.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, len(names)) for names in (MOTIONS, ARRIVALS))

    def forward(self, states: Tensor, labels: Tensor) -> tuple[Tensor, list[float]]:
        """Loss, and for both heads the accuracy on cells that show something.

        Args:
            states: (cells, width) of the prefix after the early layers.
            labels: (2, cells) int64, see crops.clip_labels.
        """
        f = F.normalize(states.float(), dim=-1) * math.sqrt(states.shape[-1])
        total, accuracy = f.new_zeros(()), []
        for head, y in zip(self.heads, labels, strict=True):
            logits, shown = head(f), (y > 0).float()
            weight = shown + BACKGROUND_WEIGHT * (y == 0).float()
            loss = F.cross_entropy(logits, y.clamp(min=0), reduction="none")
            total = total + (loss * weight).sum() / weight.sum().clamp(min=1)
            right = (logits.argmax(-1) == y).float() * shown
            accuracy.append((right.sum() / shown.sum().clamp(min=1)).item())
        return total, accuracy
