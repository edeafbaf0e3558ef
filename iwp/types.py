"""Frozen data that flows through IWP. Knows nothing about models, files or pages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

Side = Literal["baseline", "pruned"]
FinishReason = Literal["eos", "length", "stopped", "deadline"]
Convention = Literal["cut", "average"]
"""What a budget is a fraction of: what a cut leaves, or what a layer reads on average."""


# --- what a person gives -----------------------------------------------------------------


@dataclass(frozen=True)
class Media:
    """What the model looks at, decoded: upright RGB pictures of one size.

    A still picture has one frame at time 0.0.
    """

    frames: tuple[Image, ...]
    times: tuple[float, ...] = (0.0,)
    kind: Literal["image", "video"] = "image"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.frames[0].size

    @property
    def clip_times(self) -> tuple[float, ...] | None:
        """Seconds of the frames of a video; None for a picture."""
        return self.times if self.kind == "video" else None


@dataclass(frozen=True)
class Sampling:
    """How many frames of a video are shown, evenly spread from its first to its last.

    Attributes:
        most: as many of every video that has them; the upper limit where there is a pace.
        pace: frames for every second of the video; None for `most` of every video.
        least: shown of a short video too, as far as it has them.
    """

    most: int
    pace: float | None = None
    least: int = 1

    def count(self, seconds: float) -> int:
        """Frames of a video that lasts so many seconds."""
        if self.pace is None:
            return self.most
        return min(max(round(seconds * self.pace), self.least), self.most)


@dataclass(frozen=True)
class Decoding:
    """How answers are written.

    Attributes:
        max_new_tokens: the longest answer.
        temperature: 0 takes the likeliest token each time, more draws from the distribution: the
            higher, the bolder.
        seed: of the draws; both sides of a comparison draw with the same row of random numbers.
        fast: whether tokens are read in caches of fixed size, see `iwp.steps.onward`.
    """

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    fast: bool = False


# --- where visual tokens lie on the picture ----------------------------------------------


@dataclass(frozen=True)
class Block:
    """A uniform piece of a token grid: rows r0..r1-1 and columns c0..c1-1 cover the
    pixel rectangle (x0, y0)-(x1, y1) of the picture evenly.
    """

    r0: int
    r1: int
    c0: int
    c1: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class TokenGrid:
    """One rectangular grid of visual tokens on one frame.

    Token (r, c) is visual token number `offset + r * stride + c`. Where `newline` is true every
    row is followed by one row-end token, number `offset + r * stride + cols`.
    """

    id: str
    label: str
    rows: int
    cols: int
    offset: int
    blocks: tuple[Block, ...]
    newline: bool = False
    frame: int = 0

    @property
    def stride(self) -> int:
        """Visual tokens per grid row, the row-end token included."""
        return self.cols + int(self.newline)


@dataclass(frozen=True)
class VisualLayout:
    """Every visual token of a prompt, in prompt order, and the pixels it came from."""

    n: int
    width: int
    height: int
    grids: tuple[TokenGrid, ...]


# --- what the vision tower says ----------------------------------------------------------


@dataclass(frozen=True)
class Tower:
    """What the vision tower itself finds in each visual token of a prompt, in prompt order.

    From the last layer whose attention sees the whole picture, packed as the features are. Tokens
    that the tower never saw, such as row ends, have zeros.

    Attributes:
        saliency: (n,) float32 attention that the token receives: the mean over heads and queries,
            or of the class token's row alone where the tower has one, times the number of patches
            that share it: about 1 on average in every picture, crop or frame, whatever its size.
        keys: (n, d) float32 the tower's keys, the mean over heads.
        seconds: what finding them took beyond the encoding itself, synchronised.
    """

    saliency: Tensor
    keys: Tensor
    seconds: float = 0.0

    def to(self, device: torch.device | str) -> Tower:
        """The same on another device."""
        return replace(self, saliency=self.saliency.to(device), keys=self.keys.to(device))

    def take(self, tokens: Tensor) -> Tower:
        """The same for some of the tokens, by their (m,) int64 numbers, in their order."""
        there = tokens.to(self.saliency.device)
        return replace(self, saliency=self.saliency[there], keys=self.keys[there])


# --- what enters the decoder -------------------------------------------------------------


@dataclass(frozen=True)
class Embeddings:
    """What enters the decoder's first layer, whatever is cut later.

    Attributes:
        visual: (N, D) the features of all visual tokens of a prompt, in prompt order.
        text: (T, D) the embeddings of the text that asks.
    """

    visual: Tensor
    text: Tensor

    def to(self, device: torch.device | str) -> Embeddings:
        """The same on another device."""
        return Embeddings(self.visual.to(device), self.text.to(device))


# --- what a cut did ----------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """One removal of visual tokens.

    Attributes:
        layer: the decoder layer whose input was shortened.
        kept: (m,) ascending numbers of the ORIGINAL visual tokens that remain, int64 on CPU.
        scores: (n,) float32 importance before the redundancy penalty, or None; 0 for tokens that an
            earlier cut has dropped.
        seconds: time spent on scoring and selecting, synchronised; in a first cut with what finding
            the vision tower's numbers took.
        into: (n,) int64 on CPU, for every original token the number of the kept token that it went
            into (its own where it is kept), -1 where it was dropped; None where nothing merged.
    """

    layer: int
    kept: Tensor
    scores: Tensor | None = None
    seconds: float = 0.0
    into: Tensor | None = None


@dataclass
class Trace:
    """What `iwp.prune` recorded, appended while the model runs.

    Attributes:
        n_visual: visual tokens before the cut, for every row of every prompt.
        cuts: one for every row of a prompt that has visual tokens in any of its rows; a row
            without any has an empty one. Prompts of text alone, and a cut after the last layer,
            add nothing. Of a method that cuts several times, the first cut of all rows comes
            before the next.
    """

    n_visual: list[int] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)


# --- what a run gives --------------------------------------------------------------------


@dataclass(frozen=True)
class Ranking:
    """The order in which a method would keep the visual tokens of one prompt.

    Attributes:
        ranks: (n,) int64; of a nested method a budget b keeps exactly the tokens with
            `rank < keep_count(n, b)`. Others rank at one budget: what it keeps comes first.
        scores: (n,) float32 importance before the redundancy penalty.
        weight_errors: (n + 1,) float32 relative error of the dual weight after keeping the first
            m tokens, or None where it was not measured.
        output_errors: the same of the attention's output for the text's queries.
        twins: (n,) int64 for every token the one that duplicates it most, its own number where none
            does, or None where it was not measured: see `iwp.pruners.twins.nearest`.
        exponent: median kernel exponent between the visual keys of the layer, or None: see
            `iwp.dual.median_exponent`.
    """

    ranks: Tensor
    scores: Tensor
    weight_errors: Tensor | None = None
    output_errors: Tensor | None = None
    twins: Tensor | None = None
    exponent: float | None = None


@dataclass(frozen=True)
class Timing:
    """Seconds, synchronised with the device; `first_token_s` counts from the start of encoding.

    `total_s` = encode + prefill + decode; `prefill_s` includes `selection_s`. `per_token_s` is of a
    further token: the first one's logits come from the prefill, and a step that is recorded to be
    replayed counts in the total alone.
    """

    encode_s: float
    selection_s: float
    prefill_s: float
    first_token_s: float
    per_token_s: float
    total_s: float

    @property
    def decode_s(self) -> float:
        """Seconds after the prefill, until the answer was there."""
        return max(0.0, self.total_s - self.encode_s - self.prefill_s)


@dataclass(frozen=True)
class Answer:
    """One side of a comparison.

    Attributes:
        answer: the generated text.
        n_tokens: generated tokens, the end-of-answer token not counted.
        visual_tokens: visual tokens that every layer after the last cut saw.
        timing: seconds, part by part.
        kv_bytes: bytes of keys and values held after prefill, all layers together.
        peak_bytes: highest memory of the model's GPUs together while this side ran; None without.
        finish: why the answer ended.
    """

    answer: str
    n_tokens: int
    visual_tokens: int
    timing: Timing
    kv_bytes: int
    peak_bytes: int | None
    finish: FinishReason
