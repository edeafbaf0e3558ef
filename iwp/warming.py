"""One plain picture, answered and looked at, so that the first person's timings are honest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PIL import Image

from iwp import comparison, proof
from iwp.contest import Contest
from iwp.pruners import IWP
from iwp.types import Decoding, Media

if TYPE_CHECKING:
    from collections.abc import Generator

    from iwp.adapters.base import VLM
    from iwp.events import Event
    from iwp.run import Brake
    from iwp.session import Session

_SIZE: Final = (640, 480)
_QUESTION: Final = "What is this?"
_GLIMPSES: Final = 2  # the first may still find something cold
_HOST_BOUND: Final = ("cuda",)
"""Devices on which stock decoding waits for the host."""


@dataclass(frozen=True)
class Warmed:
    """What was found out about the model on its device.

    Attributes:
        glimpse_s: seconds that a look takes, see `iwp.engine.Engine.glimpse`.
        fast: whether fast decoding says here what stock decoding says, and is faster.
    """

    glimpse_s: float
    fast: bool


def warm(
    vlm: VLM, decoding: Decoding, brake: Brake, prove: bool = False
) -> Generator[Event, None, Warmed]:
    """Answer a grey picture twice, and look at it as at a camera's frame.

    Args:
        vlm: the model.
        decoding: how it is to answer, as later answers are written.
        brake: ends the work.
        prove: whether to find out if fast decoding can be used.

    Yields:
        The comparison's events.
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
    fast = prove and vlm.device.type in _HOST_BOUND and _proven(vlm, session, contest)
    return Warmed(min(taken), fast)


def _proven(vlm: VLM, session: Session, contest: Contest) -> bool:
    features = session.features.to(vlm.device)
    inputs = vlm.adapter.inputs(session.prepared, features, session.tower)
    return proof.holds(vlm.model, inputs, contest.method)
