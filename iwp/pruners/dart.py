"""DART: visual tokens that are unlike a few pivots (arXiv 2502.11494)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from iwp.budget import check_budget, keep_count
from iwp.errors import InputError
from iwp.pruners.divprune import unit_rows
from iwp.pruners.ordered import Ordered, by_score

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.layer_average import Plan
    from iwp.pruners.base import LayerView


@dataclass(frozen=True)
class DART(Ordered):
    """Cuts before layer K: pivots, and for every pivot in turn the tokens that are least like it.

    Pivots are the image tokens and the text tokens after the image whose keys of layer K - 1, after
    rotary and over all heads, have the largest L1 norm; the image's come first, by falling norm,
    then the text's. Tokens are compared by the cosine of layer K's input after the decoder's final
    norm. The paper's K is 2.

    P pivots, p of them of the image, share a budget of B tokens equally: p + P int(B / P) tokens
    are kept. With the paper's 8 that is up to 4 more or 3 fewer than B, and never less than 4:
    selections are not nested. `rank` puts what is kept at the method's own budget first, in the
    order of choice.

    Attributes:
        image_pivots: at most so many of the image, at least 1.
        text_pivots: at most so many of the text.
    """

    name: ClassVar[str] = "dart"
    paper: ClassVar[str | None] = "2502.11494"
    keeps: ClassVar[str] = "a few pivots and the tokens least like each"
    own_layer: ClassVar[bool] = True
    looks_back: ClassVar[bool] = True
    nested: ClassVar[bool] = False

    layer: int = 2
    image_pivots: int = 4
    text_pivots: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_pivots < 1 or self.text_pivots < 0:
            raise InputError("DART needs at least 1 pivot of the image and none or more of text.")

    def plan(self, n: int) -> Plan:
        """See `Pruner.plan`; as if the text had enough tokens for its pivots."""
        keep, pivots = (
            keep_count(n, check_budget(self.budget)),
            self.image_pivots + self.text_pivots,
        )
        left = min(n, self.image_pivots + pivots * (keep // pivots))
        return ((self.layer, n if keep == n else left),)

    def order(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor]:
        """See `Ordered.order`. The scores are the L1 norms of the keys."""
        before = view.before
        norms = before.rotate(before.keys, before.prompt).abs().sum(dim=(0, 2))
        norms = norms.to(view.visual.device)  # layers may lie on several devices
        image, text = (
            norms[view.visual_in_prompt],
            norms[torch.searchsorted(view.prompt, view.text)],
        )
        order = pivot_order(
            view.finally_normed(view.visual),
            view.finally_normed(view.text),
            by_score(image, self.image_pivots),
            by_score(text, self.text_pivots),
            keep,
        )
        return order, image


def pivot_order(
    image: Tensor, text: Tensor, image_pivots: Tensor, text_pivots: Tensor, budget: int
) -> Tensor:
    """The image's pivots, then for every pivot the tokens with the smallest cosine to it.

    Ties go to the lower number. The host never waits for the device.

    Args:
        image: (n, D) rows of the image.
        text: (T, D) rows of the text.
        image_pivots: (p,) int64 rows of the image, p >= 1.
        text_pivots: (t,) int64 rows of the text.
        budget: tokens that all pivots share.

    Returns:
        (min(n, p + (p + t) * int(budget / (p + t))),) int64 rows of the image.
    """
    pivots = unit_rows(torch.cat((image[image_pivots], text[text_pivots])))
    cosines = unit_rows(image) @ pivots.T
    chosen, left = [image_pivots], image.shape[0] - len(image_pivots)
    cosines.index_fill_(0, image_pivots, torch.inf)
    for column in range(len(pivots)):
        share = min(budget // len(pivots), left)
        new = cosines[:, column].argsort(stable=True)[:share]
        cosines.index_fill_(0, new, torch.inf)
        chosen.append(new)
        left -= share
    return torch.cat(chosen)
