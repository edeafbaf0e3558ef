"""The exam of the embedded model: held-out scenes, and what a model answers at many settings.

Exact match, kind by kind. Coarse kinds are asked on scenes of all sizes, fine ones on the largest,
where the evidence of one question is about one in a hundred of the visual tokens. Clips have an
exam of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from PIL import Image
from torch import Tensor

from iwp.adapters.base import VLM, Prepared
from iwp.generate import kernel_exponents
from iwp.pruners import Pruner
from iwp.scenes.clip import Clip, make_clip
from iwp.scenes.clip_questions import ask_clip
from iwp.scenes.evidence import Oracle, evidence_tokens
from iwp.scenes.examinee import Answer, Shared
from iwp.scenes.questions import Question, ask
from iwp.scenes.scene import Scene, make_scene, random_size
from iwp.scenes.vocabulary import COARSE, FINE, MOVING
from iwp.types import Media, Tower

HELD_OUT = 20260401  # first word of the exam's seeds; training never draws from them
LARGEST = (392, 392)
KINDS = (*COARSE, *FINE)
LIMIT_HELP = (
    "questions in all (default %(default)s), rounded down to the same number of each of the "
    f"{len(KINDS)} kinds, but at least one of each"
)
"""What `--limit` means where `items` is asked for at least one question of each kind."""
CLIP_KINDS = (*MOVING, "total")
CLIP_FRAMES = 16

Seen = tuple[Tensor, Tower | None]
"""Visual features, and what the vision tower says of the visual tokens."""


@dataclass(frozen=True)
class Item:
    """One picture of the exam and what is asked about it, at most once a kind.

    Attributes:
        scene: the picture, or a clip.
        questions: what is asked.
        number: of the picture; some numbers are left out.
        first: number of its first question, of all questions of the exam.
    """

    scene: Scene | Clip
    questions: tuple[Question, ...]
    number: int = 0
    first: int = 0

    @property
    def media(self) -> Media:
        """The picture or clip as a model is given it."""
        if isinstance(self.scene, Clip):
            frames = tuple(Image.fromarray(frame) for frame in self.scene.frames)
            return Media(frames, self.scene.times, "video")
        return Media((Image.fromarray(self.scene.pixels),))

    @property
    def largest(self) -> bool:
        """Whether it has as many visual tokens as any of its exam."""
        return isinstance(self.scene, Clip) or self.scene.size == LARGEST


@dataclass(frozen=True)
class Setting:
    """A method as it takes part in the exam; `pruner` None reads every token.

    Attributes:
        name: unlike every other.
        pruner: the method at its budget.
        average: the layer average that is wanted in place of the pruner's budget.
    """

    name: str
    pruner: Pruner | None
    average: float | None = None

    def at(self, n: int, layers: int, evidence: tuple[int, ...] = ()) -> Pruner | None:
        """What prunes n visual tokens of which `evidence` prove the answer.

        Raises:
            InputError: the layer average cannot be reached.
        """
        pruner = self.pruner
        if isinstance(pruner, Oracle):
            pruner = replace(pruner, evidence=evidence)
        if pruner is None or self.average is None:
            return pruner
        return pruner.at_average(self.average, n, layers)


@dataclass(frozen=True)
class Said:
    """One answer.

    Attributes:
        text: the answer.
        kept: share of the visual tokens left after the last cut.
        layer_average: share of them that a layer read on average.
        evidence: share of the tokens that prove the answer that was kept, those that were merged
            into a kept one not counted; None where none do.
    """

    text: str
    kept: float = 1.0
    layer_average: float = 1.0
    evidence: float | None = None


@dataclass(frozen=True)
class Record:
    """One question and what was answered, by the name of the setting.

    Attributes:
        question: its number.
        picture: the picture's number.
        kind: of question.
        photograph: whether the background is one.
        answer: the right one.
        tokens: visual tokens of the picture.
        evidence: how many of them prove the answer.
        said: the answers.
    """

    question: int
    picture: int
    kind: str
    photograph: bool
    answer: str
    tokens: int
    evidence: int
    said: Mapping[str, Said]


def items(seed: int, per_kind: int, kinds: tuple[str, ...] = KINDS) -> Iterator[Item]:
    """Scenes and questions, the same for the same seed, until each kind was asked often enough."""
    left = dict.fromkeys(kinds, per_kind)
    number = first = 0
    while any(left.values()):
        rng = np.random.default_rng([HELD_OUT, seed, number])
        fine = number % 2 == 0
        scene = make_scene(rng, LARGEST if fine else random_size(rng))
        asked = []
        for kind in FINE if fine else COARSE:
            question = ask(rng, scene, kind) if left.get(kind) else None
            if question is not None:
                left[kind] -= 1
                asked.append(question)
        if asked:
            yield Item(scene, tuple(asked), number, first)
        number += 1
        first += len(asked)


def clip_items(seed: int, per_kind: int, kinds: tuple[str, ...] = CLIP_KINDS) -> Iterator[Item]:
    """Clips and questions, as `items` gives pictures."""
    left = dict.fromkeys(kinds, per_kind)
    number = first = 0
    while any(left.values()):
        rng = np.random.default_rng([HELD_OUT, 1, seed, number])
        clip, asked = make_clip(rng, CLIP_FRAMES), []
        for kind in kinds:
            question = ask_clip(rng, clip, kind) if left[kind] else None
            if question is not None:
                left[kind] -= 1
                asked.append(question)
        if asked:
            yield Item(clip, tuple(asked), number, first)
        number += 1
        first += len(asked)


def sit(
    vlm: VLM,
    exam: Iterable[Item],
    settings: Sequence[Setting],
    done: Mapping[int, Collection[str]] | None = None,
) -> Iterator[Record]:
    """Put every question to every setting; the vision tower runs once a picture.

    Answers are those of stock `generate()`, from our own loop: see `examinee.Shared`.

    Args:
        vlm: the model.
        exam: pictures and questions.
        settings: what answers.
        done: names of the settings that have answered, by question number; they are left out, and
            so is a question that all have answered.
    """
    for item in exam:
        seen: Seen | None = None
        for number, question in enumerate(item.questions, start=item.first):
            answered = (done or {}).get(number, ())
            todo = [setting for setting in settings if setting.name not in answered]
            if not todo:
                continue
            prepared = vlm.adapter.prepare(item.media, question.text)
            seen = seen or see(vlm, prepared, settings)
            shared = Shared(vlm, vlm.adapter.inputs(prepared, *seen))
            evidence = evidence_of(item, question, prepared)
            n, layers = prepared.layout.n, len(vlm.adapter.decoder_layers)
            answers = shared.answers([setting.at(n, layers, evidence) for setting in todo])
            said = {
                setting.name: _said(answer, n, evidence)
                for setting, answer in zip(todo, answers, strict=True)
            }
            picture = (item.number, question.kind, item.scene.photograph)
            yield Record(number, *picture, question.answer, n, len(evidence), said)


def see(vlm: VLM, prepared: Prepared, settings: Sequence[Setting]) -> Seen:
    """What the vision tower makes of a picture, and says of it where any setting asks."""
    if any(s.pruner is not None and s.pruner.needs_tower for s in settings):
        return vlm.adapter.encode_and_look(prepared)
    return vlm.adapter.encode(prepared), None


def evidence_of(item: Item, question: Question, prepared: Prepared) -> tuple[int, ...]:
    """The visual tokens that prove the answer."""
    frames = [[boxes[i] for i in question.evidence] for boxes in item.scene.boxes]
    return evidence_tokens(prepared.layout, frames)


def _said(answer: Answer, n: int, evidence: tuple[int, ...]) -> Said:
    if answer.kept is None:
        return Said(answer.text, 1.0, answer.layer_average, 1.0 if evidence else None)
    found = float(np.isin(evidence, answer.kept.numpy()).mean()) if evidence else None
    return Said(answer.text, len(answer.kept) / n if n else 1.0, answer.layer_average, found)


class Tally:
    """Exact matches by setting and kind, and the kept share of the tokens by setting."""

    def __init__(self) -> None:
        self.right: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
        self.kept: dict[str, list[float]] = defaultdict(list)

    def add(self, record: Record) -> None:
        """Count a question."""
        for name, said in record.said.items():
            self.right[name][record.kind].append(said.text == record.answer)
            self.kept[name].append(said.kept)

    def accuracy(self, setting: str, kinds: tuple[str, ...]) -> float:
        """Mean over all questions of these kinds; NaN where none was asked."""
        answers = [a for k in kinds for a in self.right[setting][k]]
        return float(np.mean(answers)) if answers else float("nan")


def run(
    vlm: VLM,
    exam: Iterable[Item],
    settings: Sequence[Setting],
    report: Callable[[int], None] | None = None,
) -> Tally:
    """The whole exam at once; `report` is told how many pictures are done, now and then."""
    tally = Tally()
    for done, item in enumerate(exam, start=1):
        for record in sit(vlm, [item], settings):
            tally.add(record)
        if report is not None and done % 50 == 0:
            report(done)
    return tally


def exponents(vlm: VLM, exam: Iterable[Item], pictures: int = 20) -> list[float]:
    """Median kernel exponent of every decoder layer, over the first pictures of the exam."""
    found = []
    for item in islice(exam, pictures):
        prepared = vlm.adapter.prepare(item.media, item.questions[0].text)
        inputs = vlm.adapter.inputs(prepared, vlm.adapter.encode(prepared))
        found.append(kernel_exponents(vlm.model, **inputs))
    return [float(x) for x in np.median(found, axis=0)]
