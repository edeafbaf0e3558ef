"""What a person asks, made fit for a prompt: cleaned, limited, or refused in one sentence."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from iwp.errors import InputError

MAX_CHARACTERS = 2_000

_BLANKS = re.compile(r"[^\S\n]+")


def clean(question: str | None, tokenizer: Any = None, *, limit: int = MAX_CHARACTERS) -> str:
    """The question in Unicode's composed form, without control characters and outer blanks.

    Special tokens such as "<image>" are left as they are: the adapter spells them out.

    Args:
        question: what was typed.
        tokenizer: the model's tokenizer; if given, a question that it has no token for is refused.
        limit: the longest question, in characters.

    Raises:
        InputError: there is no question, or it is longer than `limit`, or unreadable.
    """
    if question is None or not isinstance(question, str):
        raise InputError("Type a question about the picture.")
    if len(question) > limit:
        raise InputError(
            f"The question has {len(question):,} characters; {limit:,} are the most. Shorten it."
        )
    text = unicodedata.normalize("NFC", question.replace("\r\n", "\n").replace("\r", "\n"))
    text = "".join(mark for mark in _BLANKS.sub(" ", text) if _is_text(mark)).strip()
    if not text or not any(mark.isprintable() and not mark.isspace() for mark in text):
        raise InputError("Type a question about the picture.")
    if tokenizer is not None and not tokenizer(text, add_special_tokens=False)["input_ids"]:
        raise InputError("This model knows no word of the question; ask it in other words.")
    return text


def _is_text(mark: str) -> bool:
    # Cc: control characters. Cs: halves of surrogate pairs, which no tokenizer can encode.
    return mark == "\n" or unicodedata.category(mark) not in ("Cc", "Cs")
