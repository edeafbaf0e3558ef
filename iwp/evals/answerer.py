"""A batch of conversations answered by stock `generate()`, with every visual token or pruned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteriaList

from iwp import measure
from iwp.adapters.base import VLM
from iwp.contest import Contest
from iwp.evals import conversations, generation
from iwp.evals.conversations import Conversation
from iwp.evals.figures import Figures, of_trace
from iwp.pruners import Pruner
from iwp.pruning import prune
from iwp.types import Trace


@dataclass(frozen=True)
class Reply:
    """An answer's text, and the tokens of prompt and answer, the one that ends it not counted."""

    text: str
    prompt_tokens: int
    new_tokens: int


class Answerer:
    """Answers batches, and adds up what the pruning achieved."""

    def __init__(
        self,
        vlm: VLM,
        contest: Contest | None = None,
        pictures: Mapping[str, Any] | None = None,
    ) -> None:
        """What answers, and how.

        Args:
            vlm: the model.
            contest: the method and its budget, in either convention; None keeps every visual token.
            pictures: what else the processor is told about pictures.
        """
        self._vlm, self._contest, self._pictures = vlm, contest, dict(pictures or {})
        self._layers = len(vlm.adapter.decoder_layers)
        self._threads = measure.cpu_threads(vlm.model, vlm.device)
        self.figures = Figures()

    def answer(
        self,
        asked: Sequence[Conversation],
        given: Mapping[str, Any],
        uncounted: Collection[int] = (),
    ) -> list[Reply]:
        """Answer all of them, as many at a time as fit into one batch.

        Args:
            asked: the conversations.
            given: the task's generation arguments.
            uncounted: numbers of conversations that are left out of the figures.
        """
        kinds: dict[Any, list[int]] = defaultdict(list)
        for number, one in enumerate(asked):
            kinds[one.kind].append(number)
        replies: dict[int, Reply] = {}
        with measure.threads(self._threads):
            for numbers in kinds.values():
                self._same_kind(numbers, asked, given, uncounted, replies)
        return [replies[number] for number in range(len(asked))]

    def _same_kind(
        self,
        numbers: Sequence[int],
        asked: Sequence[Conversation],
        given: Mapping[str, Any],
        uncounted: Collection[int],
        replies: dict[int, Reply],
    ) -> None:
        processor = self._vlm.processor
        inputs = conversations.batch(processor, [asked[i] for i in numbers], self._pictures)
        counts = self._visual_tokens(inputs["input_ids"])
        averaged = self._contest is not None and self._contest.convention == "average"
        if averaged and len(set(counts)) > 1:  # each number of tokens takes a budget of its own
            for n in set(counts):
                alike = [i for i, count in zip(numbers, counts, strict=True) if count == n]
                self._same_kind(alike, asked, given, uncounted, replies)
            return
        pruner = self._pruner(counts[0])
        made, trace, seconds = self._generate(inputs, given, pruner, Trace(counts))
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        until = generation.stops(given)
        for number, ids, length in zip(numbers, made.tolist(), lengths, strict=True):
            replies[number] = self._reply(ids, length, until)
        # Beams are rows of their own, those of one prompt one after another.
        copies = len(trace.n_visual) // len(numbers)
        rows = [k * copies for k, i in enumerate(numbers) if i not in uncounted]
        written = sum(replies[i].new_tokens for i in numbers if i not in uncounted)
        work = Figures(new_tokens=written, seconds=seconds)
        self.figures += of_trace(trace, self._layers, rows) + work

    def _generate(
        self, inputs: dict[str, Any], given: Mapping[str, Any], pruner: Pruner | None, trace: Trace
    ) -> tuple[Tensor, Trace, float]:
        """The new ids of every row, what the cuts did (`trace` without any), and the seconds."""
        vlm, prompt = self._vlm, inputs["input_ids"].shape[1]
        options = generation.arguments(given)
        until = generation.stops(given)
        if until:
            stop = generation.Until(vlm.processor.tokenizer, until, prompt)
            options["stopping_criteria"] = StoppingCriteriaList([stop])
        on_device = {name: _moved(value, vlm) for name, value in inputs.items()}
        watch = measure.Stopwatch(vlm.device)
        with nullcontext(trace) if pruner is None else prune(vlm.model, pruner) as done:
            ids = vlm.model.generate(**on_device, **options, pad_token_id=self._pad)
        return ids[:, prompt:].cpu(), done, watch.seconds()

    def _pruner(self, n: int) -> Pruner | None:
        """What prunes prompts of n visual tokens."""
        if self._contest is None:
            return None
        return self._contest.on(n, self._layers).method if n else self._contest.method

    @property
    def _pad(self) -> int:
        pad = self._vlm.processor.tokenizer.pad_token_id
        return next(iter(self._vlm.adapter.stop_ids)) if pad is None else int(pad)

    def _visual_tokens(self, ids: Tensor) -> list[int]:
        config = self._vlm.model.config
        places = [getattr(config, f"{kind}_token_id", None) for kind in ("image", "video")]
        known = torch.tensor([place for place in places if place is not None])
        counts: list[int] = torch.isin(ids, known).sum(dim=1).tolist()
        return counts

    def _reply(self, ids: Sequence[int], length: int, until: Sequence[str]) -> Reply:
        ends = {*self._vlm.adapter.stop_ids, self._pad}
        written = next((i for i, number in enumerate(ids) if number in ends), len(ids))
        # Not stripped yet: a stop may end in blanks.
        text = self._vlm.processor.tokenizer.decode(ids[:written], skip_special_tokens=True)
        return Reply(text[: generation.end(text, until)].strip(), length, written)


def _moved(value: Any, vlm: VLM) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(vlm.device, vlm.model.dtype if value.is_floating_point() else None)
