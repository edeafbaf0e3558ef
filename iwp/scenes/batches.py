"""Training batches: step number in, arrays out, always the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from iwp.scenes import clip_questions
from iwp.scenes.clip import make_clip
from iwp.scenes.crops import clip_labels, clip_tokens, crops, patch_labels, visual_tokens
from iwp.scenes.drills import drill
from iwp.scenes.questions import Question, ask_many
from iwp.scenes.scene import make_scene, random_size

SMALLEST = (196, 196)  # here the base crop, too, shows print at its full size
SEGMENTS = 14  # questions behind one picture: few make room for more pictures, as counting needs
FRAMES = {8: 0.5, 16: 0.5}  # of a clip -> how often
LENGTH = 15  # tokens of one question and its answer
END_OF_QUESTION = "<|im_end|><|im_start|>assistant"
START = "<|im_start|>user"


Asker = Callable[[int], list[Question]]
Driller = Callable[[], tuple[str, list[tuple[str, bool]]]]


@dataclass(frozen=True)
class Batch:
    """Pictures of one size, or clips of one length, and their questions.

    Attributes:
        size: (height, width) in pixels.
        crops: (B * crops, CROP, CROP, 3) uint8; of clips, (B * frames, ...).
        labels: (B * crops, attributes, GRID * GRID) int64, see crops.patch_labels; of clips, see
            crops.clip_labels.
        tokens: (B, segments, LENGTH) int64.
        answers: same shape, bool: the tokens the model is to say.
        kinds: B lists of as many question kinds.
        frames: of a clip; None of pictures.
    """

    size: tuple[int, int]
    crops: NDArray[np.uint8]
    labels: NDArray[np.int64]
    tokens: NDArray[np.int64]
    answers: NDArray[np.bool_]
    kinds: list[list[str]]
    frames: int | None = None


class Batches:
    """Draws batches; `pictures(step)` has no questions, for the tower alone."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        seed: int,
        tokens_per_step: int,
        segments: int = SEGMENTS,
    ) -> None:
        self.tokenizer, self.seed, self.tokens_per_step = tokenizer, seed, tokens_per_step
        self.segments = segments
        self._known: dict[str, list[int]] = {}
        self._end = self._encode(END_OF_QUESTION)

    def _encode(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._known[text]

    def pictures(self, step: int, n_crops: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """At least n_crops crops of scenes of mixed sizes, and their labels."""
        rng = np.random.default_rng([self.seed, 1, step])
        cut: list[NDArray[np.uint8]] = []
        labels: list[NDArray[np.int64]] = []
        while sum(c.shape[0] for c in cut) < n_crops:
            size = SMALLEST if rng.random() < 0.5 else random_size(rng)
            scene = make_scene(rng, size, dense=True)
            cut.append(crops(scene.pixels))
            labels.append(patch_labels(scene))
        return np.concatenate(cut), np.concatenate(labels)

    def questions(self, step: int, easy: float = 0.0, drills: float = 0.0) -> Batch:
        """Pictures of one random size with `segments` questions each.

        Args:
            step: number of the batch.
            easy: share of batches of SMALLEST pictures on top of the usual mix.
            drills: share of the segments that drill instead of asking.
        """
        rng = np.random.default_rng([self.seed, 2, step])
        size = SMALLEST if rng.random() < easy else random_size(rng)
        n = max(2, round(self.tokens_per_step / (visual_tokens(size) + self.segments * LENGTH)))
        scenes = [make_scene(rng, size) for _ in range(n)]
        tokens, answers, kinds = self._texts(
            drills,
            [partial(ask_many, rng, scene) for scene in scenes],
            [partial(drill, rng, scene) for scene in scenes],
        )
        cut = np.concatenate([crops(s.pixels) for s in scenes])
        labels = np.concatenate([patch_labels(s) for s in scenes])
        return Batch(size, cut, labels, tokens, answers, kinds)

    def clips(self, step: int, drills: float = 0.0) -> Batch:
        """Clips of one length with `segments` questions each; see `questions`."""
        rng = np.random.default_rng([self.seed, 4, step])
        frames = int(rng.choice(list(FRAMES), p=list(FRAMES.values())))
        n = max(2, round(self.tokens_per_step / (clip_tokens(frames) + self.segments * LENGTH)))
        clips = [make_clip(rng, frames) for _ in range(n)]
        tokens, answers, kinds = self._texts(
            drills,
            [partial(clip_questions.ask_many, rng, clip) for clip in clips],
            [partial(clip_questions.drill_clip, rng, clip) for clip in clips],
        )
        pixels = np.concatenate([clip.frames for clip in clips])
        labels = np.concatenate([clip_labels(clip) for clip in clips])
        return Batch(SMALLEST, pixels, labels, tokens, answers, kinds, frames)

    def _texts(
        self, drills: float, askers: Sequence[Asker], drillers: Sequence[Driller]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], list[list[str]]]:
        """Tokens, which of them are answers, and kinds: one row for every asker and driller."""
        shape = (len(askers), self.segments, LENGTH)
        tokens = np.full(shape, self.tokenizer.pad_token_id, np.int64)
        answers = np.zeros(shape, bool)
        rows = zip(askers, drillers, tokens, answers, strict=True)
        return tokens, answers, [self._fill(drills, *row) for row in rows]

    def _fill(
        self,
        drills: float,
        ask_some: Asker,
        drill_one: Driller,
        tokens: NDArray[np.int64],
        answers: NDArray[np.bool_],
    ) -> list[str]:
        asked = ask_some(self.segments - round(self.segments * drills))
        for j, question in enumerate(asked):
            x = self._encode(question.text) + self._end
            y = [*self._encode(question.answer), self.tokenizer.eos_token_id]
            row = (x + y)[:LENGTH]
            tokens[j, : len(row)] = row
            answers[j, len(x) : len(row)] = True
        kinds = [q.kind for q in asked]
        for j in range(len(asked), self.segments):
            kind, words = drill_one()
            for i, (word, said) in enumerate(words[:LENGTH]):
                tokens[j, i], answers[j, i] = self._encode(word)[0], said
            kinds.append(kind)
        return kinds
