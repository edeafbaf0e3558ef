"""The tower's own lesson: what every patch shows, in the decoder's word embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iwp.scenes.crops import ATTRIBUTES

BACKGROUND_WEIGHT = 0.08  # of a patch that shows nothing, beside one that shows something


class PatchWords(nn.Module):
    """Names each patch by the decoder's word embeddings; has a "nothing" vector an attribute."""

    def __init__(self, width: int, word_ids: list[list[int]]) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(len(ATTRIBUTES), width))
        self.log_scale = nn.Parameter(torch.tensor(-1.9))
        self.word_ids = word_ids

    def forward(
        self, features: Tensor, embeddings: Tensor, labels: Tensor
    ) -> tuple[Tensor, list[float]]:
        """Loss, and for every attribute the accuracy on patches that show something."""
        f = features.float().flatten(0, 1)
        f = f * torch.rsqrt(f.pow(2).mean(-1, keepdim=True) + 1e-6) * self.log_scale.exp()
        total, accuracy = f.new_zeros(()), []
        for a, ids in enumerate(self.word_ids):
            y = labels[:, a].flatten()
            logits = f @ torch.cat((self.nothing[a][None], embeddings[ids])).T
            shown = (y > 0).float()
            weight = shown + BACKGROUND_WEIGHT * (y == 0).float()
            loss = F.cross_entropy(logits, y.clamp(min=0), reduction="none")
            total = total + (loss * weight).sum() / weight.sum().clamp(min=1)
            accuracy.append(
                (((logits.argmax(-1) == y).float() * shown).sum() / shown.sum().clamp(min=1)).item()
            )
        return total, accuracy
