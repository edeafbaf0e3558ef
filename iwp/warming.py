"""One plain picture, answered and looked at, so that the first person's timings are honest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from PIL import Image

from iwp import comparison
from iwp.contest import Contest
from iwp.pruners import IWP
from iwp.types import Decoding, Media

if TYPE_CHECKING:
    from collections.abc import Generator

    from iwp.adapters.base import VLM
    from iwp.events import Event
    from iwp.run import Brake

_SIZE: Final = (640, 480)
_QUESTION: Final = "What is this?"
_GLIMPSES: Final = 2  # the first may still find something cold


def warm(vlm: VLM, decoding: Decoding, brake: Brake) -> Generator[Event, None, float]:
    """Answer a grey picture twice, and look at it as at a camera's frame.

    Args:
        vlm: the model.
        decoding: how it is to answer, as later answers are written.
        brake: ends the work.

    Yields:
        The comparison's events.

    Returns:
        Seconds that a look takes, see `iwp.engine.Engine.glimpse`.
    """
    blank = Media((Image.new("RGB", _SIZE, "gray"),))
    suited = IWP.suited(len(vlm.adapter.decoder_layers), vlm.pruner)
    contest = Contest(IWP(**suited, budget=0.5), None, 0.5)
    session = yield from comparison.rank(vlm, blank, _QUESTION, contest, decoding, brake)
    yield from comparison.answers(vlm, session, contest, brake)
    taken = []
    for _ in range(_GLIMPSES):
        begun = time.perf_counter()  # a ranking's tensors end on the CPU: a true time
        for _ in comparison.rank(vlm, blank, _QUESTION, contest, Decoding(1), brake, errors=False):
            pass
        taken.append(time.perf_counter() - begun)
    return min(taken)
