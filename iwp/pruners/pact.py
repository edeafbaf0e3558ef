"""PACT: unimportant visual tokens leave, similar ones become one (arXiv 2504.08966)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from iwp.errors import InputError
from iwp.pruners.attention import log_attention
from iwp.pruners.base import Choice
from iwp.pruners.divprune import cosine_distances, unit_rows
from iwp.pruners.merging import Merging, means
from iwp.pruners.ordered import by_score

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView, Pruner

_STEPS = 20  # halvings of the distance between centres: to 2e-6
_REACH = 1.5  # pruned tokens join a centre within so many times that distance


@dataclass(frozen=True)
class PACT(Merging):
    """Prunes without looking at the question, then clusters what is left by its keys.

    Importance (EUTI): the mean query of all rows up to the last visual one meets their keys, both
    before rotary; the mean over heads of the softmax, times the length of the row. The best `share`
    of the tokens stay. Clusters (DBDPC): by falling density in the cosine distance of the keys
    after rotary, over all heads, a token becomes a centre where it is farther than d from every
    centre so far; the others go into the nearest centre, and so do pruned tokens within 1.5 d of
    one. A centre keeps its position; its row becomes the mean of all that went into it, and from
    there on it attracts attention in proportion to their number.

    The paper fixes d, so that every prompt keeps another number of tokens: 0.21 and a share of 0.55
    for LLaVA-OneVision, 0.1 and 0.8 for Qwen2-VL, before layer 4. Here d is the one that leaves as
    many tokens as the budget, or as few less as there can be; a budget above `share` raises it.

    Attributes:
        share: lambda, the fraction of tokens that are not pruned.
        distance: d, the same for all prompts: the budget then only says whether anything happens.
            0.0 finds it for every prompt.
        proportional: whether a token attracts attention in proportion to the tokens it stands for.
    """

    name: ClassVar[str] = "pact"
    paper: ClassVar[str | None] = "2504.08966"
    keeps: ClassVar[str] = "important tokens, the similar ones among them merged"
    budget_is: ClassVar[str] = "the fraction left at the cut, or a few tokens less"
    own_layer: ClassVar[bool] = True

    share: float = 0.55
    distance: float = 0.0
    proportional: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0.0 < self.share <= 1.0 and 0.0 <= self.distance <= 2.0):
            raise InputError(
                "PACT's share is a fraction above 0 and at most 1, its distance between 0 and 2."
            )

    def at_average(self, average: float, n: int, layers: int) -> Pruner:
        """See `Pruner.at_average`; only where the distance is found for every prompt."""
        if self.distance:
            raise InputError(
                "PACT with a distance of its own leaves as many tokens as come out, so no layer "
                "average can be asked of it: set distance to 0."
            )
        return super().at_average(average, n, layers)

    def reduced(self, view: LayerView, pool: Tensor, keep: int) -> Choice:
        """See `Merging.reduced`. The scores are the importance."""
        logs = importance(view)[pool]
        count = max(1, int(self.share * len(pool)), 0 if self.distance else keep)
        some = by_score(logs, count).sort().values
        keys = view.rotate(view.visual_keys, view.visual).transpose(0, 1).flatten(1)[pool]
        kept, into, distance = clusters(keys[some], keep, self.distance)
        goes = torch.full_like(pool, -1).index_copy_(0, some, some[into])
        kept = some[kept]
        pruned = (goes < 0).nonzero().flatten()
        nearest, centre = (1.0 - unit_rows(keys[pruned]) @ unit_rows(keys[kept]).T).min(dim=1)
        goes[pruned] = torch.where(nearest <= _REACH * distance, kept[centre], -1)
        rows, sizes = means(view.hidden[view.visual[pool]], goes, kept)
        return Choice(kept, logs.exp(), rows, sizes if self.proportional else None, goes)


def importance(view: LayerView) -> Tensor:
    """(n,) float32 log of EUTI's score of every visual token."""
    until = int(view.visual_in_prompt[-1]) + 1
    query = view.mean_query(view.prompt[:until])
    logs = log_attention(query, view.keys[:, :until])[view.visual_in_prompt]
    lengths: Tensor = view.hidden[view.visual].float().norm(dim=1)
    return logs + lengths.log()


def clusters(keys: Tensor, keep: int, distance: float = 0.0) -> tuple[Tensor, Tensor, float]:
    """DBDPC: centres by falling density, and the nearest centre of every token.

    The pass over the tokens is sequential. It runs on the host, after one copy of the distances:
    a device would take longer to be told each step than the step takes.

    Args:
        keys: (n, d) n >= 1.
        keep: how many centres to look for; fewer where no distance gives that many.
        distance: centres are farther than this from each other; 0.0 looks for `keep` of them.

    Returns:
        (m,) int64 ascending numbers of the centres, (n,) int64 the centre of every token, and the
        distance.
    """
    apart = cosine_distances(keys).clamp_(min=0.0)
    apart.fill_diagonal_(0.0)
    # What a sum of n numbers near 1 lacks in digits, a sum of small ones has.
    density = (apart / 2.0).square_().neg_().expm1_().sum(dim=1)
    order = by_score(density, len(keys))
    table = apart[order][:, order].cpu().numpy()
    found = centres(table, distance, len(keys)) if distance else None
    if found is None:
        found, distance = _as_many(table, keep)
    first = order[torch.tensor(found, device=keys.device)]
    into = first[apart[:, first].argmin(dim=1)].index_copy_(0, first, first)
    return first.sort().values, into, distance


def centres(table: np.ndarray, distance: float, most: int) -> list[int] | None:
    """Places of tokens that are farther than `distance` from all centres before them.

    Args:
        table: (n, n) distances in the order of the visit.
        distance: at least this far.
        most: give up when there would be more.

    Returns:
        Ascending places; None where there are more than `most`.
    """
    far = np.ones(len(table), dtype=np.bool_)
    found: list[int] = []
    place = 0
    while True:
        if len(found) == most:
            return None
        found.append(place)
        far &= table[place] > distance
        step = int(far[place:].argmax())
        if step == 0:  # none is far: the place itself is not
            return found
        place += step


def _as_many(table: np.ndarray, keep: int) -> tuple[list[int], float]:
    """Centres, as many as can be found by halving but at most `keep`, and their distance."""
    low, high = 0.0, 2.0
    best, distance = [0], high
    trial = low
    for _ in range(_STEPS):
        found = centres(table, trial, keep)
        if found is not None and len(found) >= len(best):
            best, distance = found, trial
        if len(best) == keep or (found is not None and trial == 0.0):
            break
        low, high = (trial, high) if found is None else (low, trial)
        trial = (low + high) / 2
    return best, distance
