"""The model `iwp` of lmms-eval: a supported family, with every visual token or pruned.

    python -m lmms_eval --model iwp --model_args pretrained=demo,pruner=iwp,budget=0.222 --tasks ...

lmms-eval finds it by the entry point that is installed with this package.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm import tqdm

from iwp import options
from iwp.adapters import load
from iwp.budget import USUAL_BUDGET
from iwp.contest import Contest
from iwp.engine import choose_method
from iwp.errors import InputError, IWPError
from iwp.evals import conversations
from iwp.evals.answerer import Answerer
from iwp.evals.figures import Figures
from iwp.types import Convention

try:
    from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
    from lmms_eval.api.model import lmms
    from lmms_eval.models.model_utils.gen_metrics import log_metrics
    from loguru import logger
except ImportError as error:
    raise ImportError(
        "iwp.evals.lmms is a plugin for lmms-eval: install it with pip install -r "
        f"requirements-lmms.txt, or pip install lmms-eval==0.7.3. ({error})"
    ) from error


class PrunedModel(lmms):
    """Answers `generate_until` tasks with stock `generate()` inside `iwp.prune`."""

    is_simple = False  # it is asked in chat messages

    def __init__(
        self,
        pretrained: str = "demo",
        pruner: str = "iwp",
        budget: float | str = USUAL_BUDGET,
        convention: Convention = "cut",
        layer: int | None = None,
        frames: int = 32,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        batch_size: int | str = 1,
        device: str | None = None,
        device_map: str | None = None,
        dtype: str | None = None,
        attention: str | None = None,
        revision: str | None = None,
        quantization: str | None = None,
        **settings: Any,
    ) -> None:
        """What `--model_args` may name. Other names are options of the method.

        Args:
            pretrained: "demo", a local folder or a Hub id of a supported family.
            pruner: a name from `iwp.PRUNERS`; "full" keeps every visual token.
            budget: fraction of the visual tokens to keep, or "auto" for a method that finds it.
            convention: "cut" where the budget is what the last cut leaves, "average" where it is
                what a layer reads on average.
            layer: the decoder layer to cut before, if not the recommended one.
            frames: the most frames to show of a video, evenly spread.
            min_pixels: enlarge smaller pictures, for families with a free resolution.
            max_pixels: shrink larger pictures, for families with a free resolution.
            batch_size: prompts at a time; lmms-eval's own `--batch_size`.
            device: as for `iwp.load`; of several processes each takes its own.
            device_map: as for `iwp.load`.
            dtype: as for `iwp.load`.
            attention: as for `iwp.load`.
            revision: as for `iwp.load`.
            quantization: as for `iwp.load`.
            **settings: options of the method.

        Raises:
            IWPError: the model cannot be loaded, or there is no such method, budget or option.
        """
        super().__init__()
        self._batch_size = _whole("batch_size", batch_size)
        self._frames = _whole("frames", frames)
        self.accelerator = Accelerator()
        self._rank, self._world_size = self.accelerator.process_index, self._processes
        if self._processes > 1:
            if device_map:
                raise InputError("device_map divides one process's model: start one process only.")
            device = str(self.accelerator.device)
        vlm = load(
            pretrained,
            device=None if device_map else device,
            dtype=dtype,
            attention=attention,
            device_map=device_map,
            revision=revision,
            quantization=quantization,
        )
        least = None if min_pixels is None else _whole("min_pixels", min_pixels)
        most = None if max_pixels is None else _whole("max_pixels", max_pixels)
        pictures = conversations.limits(vlm.processor, least, most)
        contest, self._method = None, "every visual token"
        if pruner == "full":
            if settings or layer is not None:
                raise InputError("pruner=full cuts nothing and has no layer or other option.")
        else:
            method = choose_method(vlm, budget, pruner, layer, _parsed(settings))  # type: ignore[arg-type]
            contest = Contest(method, None, method.budget, convention)
            self._method = f"{method}, its budget counted as {convention}"
        self._vlm, self._answerer = vlm, Answerer(vlm, contest, pictures)
        if self.accelerator.is_main_process:
            logger.info(f"IWP: {vlm.name} on {self._processes} process(es), {self._method}")

    @property
    def _processes(self) -> int:
        return int(self.accelerator.num_processes)

    @property
    def device(self) -> torch.device:
        """Where this process's model runs, for lmms-eval's own bookkeeping."""
        return self._vlm.device

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer this process's share of the questions, in the order in which they were asked."""
        results: list[GenerationResult] = [None] * len(requests)
        bar = tqdm(total=len(requests), disable=self.rank != 0, desc="Model Responding")
        for numbers in _batches(requests, self._batch_size):
            asked = [self._conversation(requests[number]) for number in numbers]
            # lmms-eval evens out the shares of its processes with questions that do not count.
            padding = [
                row
                for row, number in enumerate(numbers)
                if requests[number].metadata.get("__padding_only__")
            ]
            given = requests[numbers[0]].args[2]
            for number, reply in zip(
                numbers, self._answerer.answer(asked, given, padding), strict=True
            ):
                counts = TokenCounts(reply.prompt_tokens, reply.new_tokens)
                results[number] = GenerationResult(reply.text, counts)
            bar.update(len(numbers))
        bar.close()
        return results

    def loglikelihood(self, requests: list[Instance]) -> NoReturn:  # noqa: ARG002 - lmms-eval's
        """Not offered.

        Raises:
            IWPError: always.
        """
        raise IWPError("The model iwp generates its answers: choose a generate_until task.")

    def generate_until_multi_round(self, requests: list[Instance]) -> NoReturn:  # noqa: ARG002
        """Not offered.

        Raises:
            IWPError: always.
        """
        raise IWPError("The model iwp answers one turn: choose a generate_until task.")

    def clean(self) -> None:
        """Report what was achieved and let go of the model; lmms-eval calls it after the answers.

        The means over all processes go into the log, and into the results under `throughput`.
        """
        every: list[Figures] = gather_object([self._answerer.figures])
        if self.accelerator.is_main_process:
            total = sum(every, Figures())
            logger.info(f"IWP: {self._method}: {total.told}")
            log_metrics(
                total_elapsed_time=total.seconds,
                total_gen_tokens=total.new_tokens,
                avg_speed=total.new_tokens / total.seconds if total.seconds else 0.0,
                additional_metrics=total.shares,
            )
        del self._vlm, self._answerer
        super().clean()

    def _conversation(self, request: Instance) -> conversations.Conversation:
        _, to_messages, _, doc_id, task, split = request.args
        messages = to_messages(self.task_dict[task][split][doc_id])
        return conversations.read(self._vlm.processor, messages, self._frames)


def _batches(requests: Sequence[Instance], size: int) -> Iterator[list[int]]:
    """Numbers of requests with the same generation arguments, `size` at a time."""
    alike: dict[str, list[int]] = defaultdict(list)
    for number, request in enumerate(requests):
        alike[json.dumps(request.args[2], sort_keys=True, default=str)].append(number)
    for numbers in alike.values():
        for first in range(0, len(numbers), size):
            yield numbers[first : first + size]


def _parsed(settings: dict[str, Any]) -> dict[str, Any]:
    """lmms-eval has read numbers and truth values already; lists are still text."""
    words = [f"{name}={value}" for name, value in settings.items() if isinstance(value, str)]
    return {**settings, **options.parse(words)}


def _whole(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise InputError(f"{name} is a whole number of at least 1, not {value!r}.")
    return number
