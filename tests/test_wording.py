"""Two answers word by word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iwp.wording import agreement, differences


def sides(left: str, right: str) -> list[tuple[str, str]]:
    return [(piece.side, piece.text.strip()) for piece in differences(left, right)]


def test_what_only_one_says_stands_where_it_belongs() -> None:
    assert sides("a red star on the left", "a blue star on left") == [
        ("both", "a"),
        ("left", "red"),
        ("right", "blue"),
        ("both", "star on"),
        ("left", "the"),
        ("both", "left"),
    ]


def test_a_number_is_one_word() -> None:
    assert sides("7,371 of 9.5.", "1,636 of 9.5.") == [
        *(("left", "7,371"), ("right", "1,636"), ("both", "of 9.5.")),
    ]


def test_signs_are_words_of_their_own() -> None:
    assert sides("A star.", "A star!") == [("both", "A star"), ("left", "."), ("right", "!")]


def test_languages_without_spaces_differ_by_character() -> None:
    assert sides("红色的星", "蓝色的星") == [("left", "红"), ("right", "蓝"), ("both", "色的星")]


@given(st.text("ab1,. 星\n"), st.text("ab1,. 星\n"))
def test_each_answer_can_be_read_back(left: str, right: str) -> None:
    pieces = differences(left, right)
    for side, text in (("left", left), ("right", right)):
        told = "".join(piece.text for piece in pieces if piece.side in ("both", side))
        assert told.split() == text.split() or "".join(told.split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("left", "right", "share"),
    [
        ("a red star", "a red star", 1.0),
        ("", "", 1.0),
        ("red", "blue", 0.0),
        ("", "blue", 0.0),
        ("a red star", "a blue star", 2 / 3),
        ("one two three", "one", 0.5),
    ],
)
def test_agreement_is_the_share_of_common_words(left: str, right: str, share: float) -> None:
    assert agreement(left, right) == pytest.approx(share)
