"""The two calls that most programs need, compare and rank: no events, no threads to mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iwp.engine import Engine
from iwp.media import open_picture
from iwp.types import Media

if TYPE_CHECKING:
    from os import PathLike

    from PIL.Image import Image
    from torch import Tensor

    from iwp.adapters.base import VLM
    from iwp.budget import Budget
    from iwp.pruners.base import Pruner
    from iwp.results import RunResult

    Picture = str | PathLike[str] | Image | Media


def compare(
    vlm: VLM,
    image: Picture,
    question: str,
    budget: Budget = 0.222,
    *,
    method: Pruner | None = None,
    max_new_tokens: int | None = None,
) -> RunResult:
    """Answers a question with every visual token and with the kept ones, and waits for both.

    For many questions, or from several threads, make one `Engine` and use its `compare`.

    Args:
        vlm: a model from `iwp.load`.
        image: a file, a PIL picture or an opened `Media`.
        question: what to ask about it.
        budget: fraction of the visual tokens to keep, 0 < budget <= 1, or "auto".
        method: IWP with the model's recommended settings unless given.
        max_new_tokens: longest answer; 64 unless given.

    Raises:
        InputError: the picture, the question or the budget cannot be used.
    """
    media = _open(image)
    engine = Engine(vlm)
    return engine.compare(
        media, question, budget, method=method, max_new_tokens=max_new_tokens
    ).result()


def rank(vlm: VLM, image: Picture, question: str, *, method: Pruner | None = None) -> Tensor:
    """The rank of every visual token: budget b keeps those with `rank < keep_count(n, b)`.

    Arguments as for `compare`.

    Returns:
        (n,) int64 ranks in prompt order.

    Raises:
        InputError: the picture or the question cannot be used.
    """
    return Engine(vlm).rank(_open(image), question, method=method).ranking.ranks


def _open(image: Picture) -> Media:
    return image if isinstance(image, Media) else open_picture(image)
