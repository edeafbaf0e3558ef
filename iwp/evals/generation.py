"""A task's generation arguments as those of transformers' `generate()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

MAX_NEW_TOKENS = 1024
"""The longest answer where a task names none."""

_SEARCH = ("num_beams", "length_penalty", "early_stopping", "repetition_penalty")
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p")


def arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """What `generate()` is called with; greedy unless a task asks for a temperature above 0.

    Task files also hold arguments of other models, which are left out.
    """
    limit = given.get("max_new_tokens", MAX_NEW_TOKENS)
    sampled = bool(given.get("temperature")) and given.get("do_sample", True)
    out = {"max_new_tokens": limit, "do_sample": sampled}
    out |= {name: given[name] for name in _SEARCH if given.get(name) is not None}
    # None also takes back what the checkpoint recommends for sampling.
    out |= {name: given.get(name) if sampled else None for name in _SAMPLING}
    return out if not sampled else {k: v for k, v in out.items() if v is not None}


def stops(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts that end an answer, a task's `until`."""
    until = given.get("until") or ()
    return tuple(text for text in ((until,) if isinstance(until, str) else until) if text)


def end(text: str, until: Sequence[str]) -> int | None:
    """Where the first of these texts begins, blanks at the start apart; None where none does."""
    blank = len(text) - len(text.lstrip())
    found = [place for stop in until if (place := text.find(stop, blank)) >= 0]
    return min(found, default=None)


class Until(StoppingCriteria):
    """Stops each row as soon as one of the texts is in its answer."""

    def __init__(self, tokenizer: Any, until: Sequence[str], prompt: int) -> None:
        """Takes the model's tokenizer, the texts, and the length of the padded prompts."""
        self._tokenizer, self._until, self._prompt = tokenizer, until, prompt

    def __call__(self, input_ids: Tensor, *_: Any, **__: Any) -> Tensor:
        """(rows, length) ids written so far -> (rows,) bool, true where a row has ended."""
        answers = self._tokenizer.batch_decode(
            input_ids[:, self._prompt :], skip_special_tokens=True
        )
        ended = [end(answer, self._until) is not None for answer in answers]
        return torch.tensor(ended, device=input_ids.device)
