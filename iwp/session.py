"""What is kept of a picture and its question so that another budget can be answered quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from iwp.adapters.base import Prepared
    from iwp.contest import Contest
    from iwp.types import Answer, Decoding, Ranking, Tower


@dataclass(frozen=True)
class Session:
    """One encoded picture and question. Opaque to callers: hand it to `Engine.repruned`.

    All tensors are on the CPU, so a session can be pickled and outlives a device call.

    Attributes:
        prepared: the tokenised prompt and the picture as the vision tower wants it.
        features: (n, D) encoded visual tokens in prompt order.
        encode_s: seconds that encoding took, without what looking at the vision tower did.
        contest: the methods as they answer this prompt, and the budget that was asked for.
        ranking: order in which the right side's method keeps the tokens.
        decoding: how answers are written.
        rival_ranking: order of the left side's method, where it has one.
        tower: what the vision tower says of the tokens, where a method asks for it.
        times: seconds of the frames of a video; None for a picture.
        baseline: the answer with every visual token, once there is one.
        serial: of the model that it belongs to.
        first_logits: (V,) float32 of that answer's first token, on the CPU.
    """

    prepared: Prepared
    features: Tensor
    encode_s: float
    contest: Contest
    ranking: Ranking
    decoding: Decoding
    rival_ranking: Ranking | None = None
    tower: Tower | None = None
    times: tuple[float, ...] | None = None
    baseline: Answer | None = None
    first_logits: Tensor | None = None
    serial: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors that make a session big: pixels, features, the tower's keys."""
        keys = () if self.tower is None else (self.tower.keys,)
        big = (self.features, *keys, *self.prepared.vision.values())
        return sum(tensor.nbytes for tensor in big)
