"""The two calls that most programs need, compare and rank: no events, no threads to mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iwp.budget import USUAL_BUDGET
from iwp.engine import Engine, choose_method
from iwp.types import Media
from iwp.video import open_media

if TYPE_CHECKING:
    from os import PathLike

    from PIL.Image import Image
    from torch import Tensor

    from iwp.adapters.base import VLM
    from iwp.budget import Budget
    from iwp.pruners.base import Pruner
    from iwp.results import RunResult
    from iwp.types import Convention

    Picture = str | PathLike[str] | Image | Media


def compare(
    vlm: VLM,
    image: Picture,
    question: str,
    budget: Budget = USUAL_BUDGET,
    *,
    method: Pruner | str | None = None,
    against: Pruner | str | None = None,
    convention: Convention = "cut",
    max_new_tokens: int | None = None,
    temperature: float = 0.0,
) -> RunResult:
    """Answers a question with every visual token and with the kept ones, and waits for both.

    With `against`, what two methods keep is compared at the same budget.

    For many questions, or from several threads, make one `Engine` and use its `compare`.

    Args:
        vlm: a model from `iwp.load`.
        image: a file, a PIL picture or an opened `Media`. Of a file the content tells whether it is
            a picture or a video; of a video as many frames are shown as the model's family shows:
            `iwp.video.open_video` opens it with others.
        question: what to ask about it.
        budget: fraction of the visual tokens to keep, 0 < budget <= 1, or "auto".
        method: a method or its name, then with the settings that the model recommends; IWP unless
            given.
        against: the same for the left side, `RunResult.baseline`; every visual token unless given.
        convention: what the budget is a fraction of: "cut", what is left at the method's cut, or
            "average", what a layer reads on average.
        max_new_tokens: longest answer; 64 unless given.
        temperature: 0 takes the likeliest token each time, more draws one, both sides with the same
            random numbers.

    Raises:
        InputError: the picture or video, the question, a method, the budget or the temperature
            cannot be used.
        ModelError: a method looks at the vision tower, and IWP does not know this model's.
    """
    return (
        Engine(vlm)
        .compare(
            _open(vlm, image),
            question,
            budget,
            method=_method(vlm, method),
            against=_method(vlm, against),
            convention=convention,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
        )
        .result()
    )


def rank(vlm: VLM, image: Picture, question: str, *, method: Pruner | str | None = None) -> Tensor:
    """The rank of every visual token: budget b keeps those with `rank < keep_count(n, b)`.

    Methods that are not nested rank at their own budget: what that keeps comes first, and other
    budgets keep other tokens. Other arguments as for `compare`.

    Returns:
        (n,) int64 ranks in prompt order.

    Raises:
        InputError: the picture or video, the question or the method cannot be used.
    """
    engine = Engine(vlm)
    return engine.rank(_open(vlm, image), question, method=_method(vlm, method)).ranking.ranks


def _method(vlm: VLM, named: Pruner | str | None) -> Pruner | None:
    return choose_method(vlm, USUAL_BUDGET, named) if isinstance(named, str) else named


def _open(vlm: VLM, image: Picture) -> Media:
    return image if isinstance(image, Media) else open_media(image, vlm.adapter)
