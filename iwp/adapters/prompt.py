"""A chat template filled with a person's question, tokenised so that the question is only text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

# A private-use character: no template contains it.
_PLACE = "\ue000"


def prompt_ids(processor: Any, content: Sequence[dict[str, str]], question: str) -> list[int]:
    """Token ids of one user turn, `content` (pictures) then the question, ready to be answered.

    For ordinary questions these are the ids that the processor gives for its own chat template,
    the token that begins every text of some tokenizers included.
    A special token that a person typed ("<image>", "<|im_end|>") is spelled out instead.
    """
    tokenizer = processor.tokenizer
    turn = {"role": "user", "content": [*content, {"type": "text", "text": _PLACE}]}
    text: str = processor.apply_chat_template([turn], add_generation_prompt=True)
    before, after = text.split(_PLACE)
    # A template that writes the beginning itself must not get it twice.
    written = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
    options = {"add_special_tokens": not written}
    whole = _ids(tokenizer, before + question + after, **options)
    special = _special_ids(tokenizer)
    expected = _ids(tokenizer, before + _PLACE + after, **options)
    if [n for n in whole if n in special] == [n for n in expected if n in special]:
        return whole
    # Tokens never reach across a special token, but they may join the question to the plain text
    # around it. So that text is tokenised together with the question.
    tokens = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
    marks = re.compile("|".join(map(re.escape, tokens)))
    ends = [match.end() for match in marks.finditer(before)]
    first = marks.search(after)
    head = ends[-1] if ends else 0
    tail = first.start() if first else len(after)
    return [
        *_ids(tokenizer, before[:head], **options),
        *_plain_ids(tokenizer, before[head:] + question + after[:tail]),
        *_ids(tokenizer, after[tail:], add_special_tokens=False),
    ]


def _special_ids(tokenizer: Any) -> set[int]:
    """Ids that mean more than text. An unknown word may share its id with one of them."""
    return set(tokenizer.get_added_vocab().values()) - {tokenizer.unk_token_id}


def _ids(tokenizer: Any, text: str, **options: bool) -> list[int]:
    ids: list[int] = tokenizer(text, **options)["input_ids"]
    return ids


def _plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of text in which special tokens mean nothing."""
    plain = {"add_special_tokens": False, "split_special_tokens": True}
    ids = _ids(tokenizer, text, **plain)
    if _special_ids(tokenizer).isdisjoint(ids):
        return ids
    # Added tokens that are not declared special are still recognised, but only as a whole.
    return [number for mark in text for number in _ids(tokenizer, mark, **plain)]
