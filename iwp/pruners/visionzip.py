"""VisionZip: salient visual tokens, and tokens that others are merged into (arXiv 2412.04467)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from iwp.budget import keep_count
from iwp.errors import InputError
from iwp.pruners.base import Choice
from iwp.pruners.divprune import unit_rows
from iwp.pruners.merging import Merging
from iwp.pruners.ordered import by_score

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.pruners.base import LayerView

CONTEXTUAL = 10 / 64
"""The share of the kept tokens that others are merged into: the authors keep 54 + 10."""

JOINING = ("sum", "mean")
"""The values of `VisionZip.joining`."""


@dataclass(frozen=True)
class VisionZip(Merging):
    """Keeps the tokens of highest saliency; of the others, a few stand for all.

    Dominant tokens are kept by saliency, contextual ones by their places: every s-th of those that
    are not dominant. Of 64 kept tokens 10 are contextual, and of two at least one. Each token that
    is left joins the contextual one whose key is most similar to its own.

    The authors merge what the vision tower puts out, each tile of a picture for itself, and keep
    the class token in addition. Here what enters the decoder is merged, all tiles are one pool, and
    contextual tokens keep their places. Saliency and keys are those of `Tower`. It knows nothing of
    row ends: these are dominant after all other tokens, none joins them and they join none.

    Attributes:
        joining: what a contextual token becomes. "sum": itself plus the mean of those that joined
            it, as in the authors' code; "mean": the mean of all of them.
    """

    name: ClassVar[str] = "visionzip"
    paper: ClassVar[str | None] = "2412.04467"
    keeps: ClassVar[str] = (
        "what the vision tower attends to, and a few tokens that the others are merged into"
    )
    own_layer: ClassVar[bool] = True
    needs_tower: ClassVar[bool] = True

    layer: int = 0
    joining: str = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joining not in JOINING:
            raise InputError(
                f"VisionZip's joining is one of {', '.join(JOINING)}, not {self.joining!r}."
            )

    def reduced(self, view: LayerView, pool: Tensor, keep: int) -> Choice:
        """See `Merging.reduced`. The scores are the saliency."""
        saliency = view.in_tower.saliency[pool].float()
        ends = view.separators if len(pool) == view.n else None
        inside = len(pool) - (0 if ends is None else len(ends))
        contextual = contextual_count(keep, inside)
        last = saliency if ends is None else saliency.index_fill(0, ends, -1.0)
        order = by_score(last, len(pool))
        dominant, rest = order[: keep - contextual], order[keep - contextual : inside].sort().values
        targets = evenly(rest, contextual)
        kept = torch.cat((dominant, targets)).sort().values
        into = torch.full_like(pool, -1)
        rows = None
        if contextual:
            keys = unit_rows(view.in_tower.keys[pool])
            nearest = (keys[rest] @ keys[targets].T).argmax(dim=1)
            into.index_copy_(0, rest, targets[nearest])
            features = view.hidden[view.visual[pool]].float()
            merged = joined(features, into, targets, mean=self.joining == "mean")
            rows = features.index_copy(0, targets, merged)[kept]
        return Choice(kept, saliency, rows, into=into.index_copy_(0, kept, kept))


def contextual_count(keep: int, n: int) -> int:
    """How many of `keep` tokens others are merged into; none where all n are kept."""
    return keep_count(keep, CONTEXTUAL) if 1 < keep < n else 0


def evenly(rest: Tensor, count: int) -> Tensor:
    """(count,) of the tokens `rest` (m,), m >= count: the first, and every (m // count)-th."""
    return rest[:: len(rest) // count][:count] if count else rest[:0]


def joined(rows: Tensor, into: Tensor, targets: Tensor, *, mean: bool) -> Tensor:
    """What targets become.

    By a product of matrices: sums by index have no fixed order on some devices.

    Args:
        rows: (n, D) the tokens.
        into: (n,) int64 numbers of the targets that they join; where a target itself goes does
            not matter.
        targets: (c,) int64 numbers.
        mean: whether it is the mean of a target and all that joined it, rather than the target
            plus the mean of those that joined it.

    Returns:
        (c, D) in the type of `rows`.
    """
    members = into.index_fill(0, targets, -1) == targets[:, None]
    sums, sizes = members.to(rows.dtype) @ rows, members.sum(dim=1, keepdim=True)
    own = rows[targets]
    return (own + sums) / (sizes + 1) if mean else own + sums / sizes.clamp(min=1)
