"""CDPruner: diversity under a condition, by a determinantal point process (arXiv 2506.10967)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from iwp.errors import InputError
from iwp.pruners.divprune import unit_rows
from iwp.pruners.ordered import Ordered, by_score

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView

RELEVANCE = ("positive", "negative", "none")
"""The values of `CDPruner.relevance`."""

_LEAST = 1e-10  # below it, what a token adds to the determinant counts as nothing
_NOISE = 1e-6  # the same, as a share of what the token would add alone: float32 knows no less


@dataclass(frozen=True)
class CDPruner(Ordered):
    """Greedy MAP of a DPP with the kernel q_i cos(x_i, x_j) q_j, q the relevance for the question.

    The paper takes the relevance from CLIP's two towers. Here the decoder's own input stands for
    both, as in ports of the method to models without CLIP: r_i is the mean cosine between the
    features of token i and the word embeddings of the text after the picture, chat-template tokens
    included. In CLIP's space relevant patches have the *lower* cosine, and the authors negate it
    there; elsewhere it counts as it is.

    The paper cuts what enters the decoder, layer 0. Before a later layer, rows of its input stand
    for features and embeddings.

    Attributes:
        relevance: "positive": r as it is; "negative": -r, for CLIP-like spaces; "none": q = 1,
            diversity alone.
    """

    name: ClassVar[str] = "cdpruner"
    paper: ClassVar[str | None] = "2506.10967"
    keeps: ClassVar[str] = "a diverse set of tokens that suit the question (DPP)"
    own_layer: ClassVar[bool] = True

    layer: int = 0
    relevance: str = "positive"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.relevance not in RELEVANCE:
            raise InputError(
                f"CDPruner's relevance is one of {', '.join(RELEVANCE)}, not {self.relevance!r}."
            )

    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """See `Ordered.order`. The scores are q."""
        features = unit_rows(view.hidden[view.visual])
        text = unit_rows(view.hidden[view.text])
        cosines = features @ text.mean(dim=0)
        signed = {"positive": cosines, "negative": -cosines, "none": torch.zeros_like(cosines)}
        quality = normalized(signed[self.relevance])
        most = min(keep, *features.shape)  # the kernel has no higher rank
        similarity = features @ features.T
        # Exactly 1, or 0 for a zero row: rounding must not decide between equal tokens.
        similarity.diagonal().round_()
        return map_order(similarity, quality, keep, most), quality


def normalized(relevance: Tensor) -> Tensor:
    """(n,) relevance, min-max scaled to about [0, 1]; all ones where the tokens do not differ."""
    low, high = relevance.aminmax()
    scaled = (relevance - low + 1e-6) / (high - low)
    return torch.where(high - low > 1e-6, scaled, torch.ones_like(scaled))


def map_order(similarity: Tensor, quality: Tensor, keep: int, rank: int | None = None) -> Tensor:
    """Greedy maximum of the determinant of q_i S_ij q_j, one token after another.

    By the Cholesky factor of what is chosen. Tokens that add nothing to the determinant any more,
    such as duplicates of chosen ones, come last, those of highest quality first. The host never
    waits for the device. Ties go to the lower number.

    Args:
        similarity: (n, n) float32 positive semidefinite.
        quality: (n,) float32, not negative.
        keep: how many, at most n.
        rank: the highest rank that `similarity` can have, if less than n.

    Returns:
        (keep,) int64 numbers in the order of their choice.
    """
    steps = keep if rank is None else min(keep, rank)
    gains = quality * quality * similarity.diagonal()
    least = (gains * _NOISE).clamp(min=_LEAST)
    last = quality - quality.max() - 1.0  # below every gain
    factor = similarity.new_zeros(steps, similarity.shape[0])
    chosen = similarity.new_empty(steps, dtype=torch.int64)
    for step in range(steps):
        adds = gains > least
        new = torch.where(adds, gains, last).argmax(keepdim=True)
        chosen[step : step + 1] = new
        row = quality[new] * similarity.index_select(0, new) * quality
        row = row - factor[:step].index_select(1, new).T @ factor[:step]
        root = gains[new].clamp(min=_LEAST).sqrt()
        factor[step] = torch.where(adds[new], row / root, 0.0)[0]
        gains = gains - factor[step].square()
        gains.index_fill_(0, new, -torch.inf)
        last.index_fill_(0, new, -torch.inf)
    return torch.cat((chosen, by_score(last, keep - steps)))
