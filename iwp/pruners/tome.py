"""ToMe: the most similar tokens become one, again and again (arXiv 2210.09461)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from iwp.pruners.base import Choice
from iwp.pruners.divprune import unit_rows
from iwp.pruners.merging import Merging, counts, sums

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class ToMe(Merging):
    """Bipartite soft matching of what enters the decoder, as a baseline for methods there.

    The paper merges inside a vision transformer, in every block. Here the passes follow each other
    at one place, layer 0, until the budget is met, on the rows themselves. A pass over n tokens
    removes at most n / 2 of them: those at even places look for the most similar one at an odd
    place, in cosine, and the best matches go into it. Its row becomes the mean of all tokens that
    have gone into it, and it keeps its position. Between passes the tokens stand in the order of
    the prompt. The scores are the numbers of tokens that each stands for, 0 for one that is gone.

    Attributes:
        proportional: whether a token attracts attention in proportion to the tokens it stands for.
    """

    name: ClassVar[str] = "tome"
    paper: ClassVar[str | None] = "2210.09461"
    keeps: ClassVar[str] = "the most similar tokens merged, again and again"
    own_layer: ClassVar[bool] = True

    layer: int = 0
    proportional: bool = False

    def reduced(self, view: LayerView, pool: Tensor, keep: int) -> Choice:
        """See `Merging.reduced`."""
        x = view.hidden[view.visual[pool]].float()
        kept, into, rows, sizes = merged(x, keep)
        scores = torch.zeros_like(x[:, 0]).index_copy_(0, kept, sizes)
        return Choice(kept, scores, rows, sizes if self.proportional else None, into)


def merged(x: Tensor, keep: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Repeated passes of bipartite soft matching. The host never waits for the device.

    Ties go to the lower number, of sources and of destinations.

    Args:
        x: (n, D) float32 tokens in the order of the prompt, n >= 1.
        keep: how many to leave, 1 <= keep <= n.

    Returns:
        (keep,) int64 ascending numbers of those that are left, (n,) the one of them that each token
        is in, (keep, D) float32 the means of what is in each, and (keep,) float32 how many that is.
    """
    into = torch.arange(x.shape[0], device=x.device)
    kept, sizes = into, torch.ones_like(x[:, 0])
    while (n := len(kept)) > keep:
        removed = min(n - keep, n // 2)
        unit = unit_rows(x)
        best, match = (unit[::2] @ unit[1::2].T).max(dim=1)
        source = best.argsort(descending=True, stable=True)[:removed]
        goes = match[source]
        source, goes = 2 * source, 2 * goes + 1  # places among all
        place = torch.arange(n, device=x.device).index_copy(0, source, goes)
        left = torch.zeros_like(place).index_fill_(0, source, 1).argsort(stable=True)[:-removed]
        kept, into = kept[left], kept[place][torch.searchsorted(kept, into)]
        goes = torch.searchsorted(left, goes)  # places among those that are left
        total = x * sizes[:, None]
        total = total[left] + sums(total[source], goes, len(left))
        sizes = sizes[left] + counts(sizes[source], goes, len(left))
        x = total / sizes[:, None]
    return kept, into, x, sizes
