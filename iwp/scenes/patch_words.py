"""The tower's own lesson: what every patch shows, in the decoder's word embeddings."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iwp.scenes.crops import ATTRIBUTES, PLACES

# Fixed, so that a feature must point at its words to be sure of them: the decoder finds a patch
# by comparing directions.
SHARPNESS = 10.0
LENGTH = 0.5  # root mean square of a feature: about that of a word
BACKGROUND_WEIGHT = 0.08  # of a patch that shows nothing, beside one that shows something
REACH = 0.25  # how far a feature of length 1 goes along an axis at the picture's edge
PLACE_WEIGHT = 30.0


class PatchWords(nn.Module):
    """Names each patch by the decoder's word embeddings; has a "nothing" vector an attribute.

    Where an object is, is no word: it is how far the feature goes along an axis, so that two places
    can be compared by subtraction.
    """

    def __init__(self, width: int, word_ids: list[list[int]]) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.randn(len(ATTRIBUTES), width) * 0.3)
        self.axes = nn.Parameter(torch.randn(len(PLACES), width) * 0.3)
        self.word_ids = word_ids

    def forward(
        self, features: Tensor, embeddings: Tensor, labels: Tensor
    ) -> tuple[Tensor, list[float]]:
        """Loss, and for every attribute the accuracy on patches that show something."""
        f = features.float().flatten(0, 1)
        # Without this pull the length of the features drifts: everything else ignores it.
        total = (f.pow(2).mean(-1) + 1e-6).log().sub(math.log(LENGTH**2)).pow(2).mean() * 0.1
        f, accuracy = F.normalize(f, dim=-1), []
        for a, ids in enumerate(self.word_ids):
            y = labels[:, a].flatten()
            names = torch.cat((self.nothing[a][None], embeddings[ids]))
            logits = SHARPNESS * f @ F.normalize(names, dim=-1).T
            shown = (y > 0).float()
            weight = shown + BACKGROUND_WEIGHT * (y == 0).float()
            loss = F.cross_entropy(logits, y.clamp(min=0), reduction="none")
            total = total + (loss * weight).sum() / weight.sum().clamp(min=1)
            accuracy.append(
                (((logits.argmax(-1) == y).float() * shown).sum() / shown.sum().clamp(min=1)).item()
            )
        along = f @ F.normalize(self.axes, dim=-1).T
        y = labels[:, len(ATTRIBUTES) :].transpose(1, 2).flatten(0, 1)
        asked = (y >= 0).float()
        off = along - REACH * (y / 500 - 1)
        total = total + PLACE_WEIGHT * (off.pow(2) * asked).sum() / asked.sum().clamp(min=1)
        return total, accuracy
