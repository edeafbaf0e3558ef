"""Questions: cleaned, limited, refused in one sentence."""

from __future__ import annotations

import pytest

from iwp import question
from iwp.errors import InputError
from tests import tiny


@pytest.mark.parametrize("nothing", [None, "", "   ", "\n\t \r\n", "\x00\x07", "\u200b\u200d", 3])
def test_no_question(nothing: str | None) -> None:
    with pytest.raises(InputError, match="Type a question"):
        question.clean(nothing)


def test_the_limit_is_named() -> None:
    assert question.clean("a" * 2_000) == "a" * 2_000
    with pytest.raises(InputError, match=r"100,000 characters; 2,000 are the most"):
        question.clean("a" * 100_000)


@pytest.mark.parametrize(
    ("typed", "cleaned"),
    [
        ("  What is it? \n", "What is it?"),
        ("a\tb \u00a0 c", "a b c"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\x00b\x1b[31mc\ud83d", "ab[31mc"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("<image> and <|im_end|>", "<image> and <|im_end|>"),
        ("👩\u200d🚀?", "👩\u200d🚀?"),
    ],
)
def test_cleaning(typed: str, cleaned: str) -> None:
    assert question.clean(typed) == cleaned


def test_a_question_without_any_token() -> None:
    assert question.clean("Why?", tiny.tokenizer()) == "Why?"

    def speechless(text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": []}

    with pytest.raises(InputError, match="no word of the question"):
        question.clean("Why?", speechless)
