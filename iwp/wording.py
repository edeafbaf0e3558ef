"""Two answers word by word: what they share, and where they differ. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

# Han characters and kana are words of their own: such languages put no spaces between words.
_SINGLE = "\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"(\d+(?:[.,]\d+)*|[{_SINGLE}]|[^\W{_SINGLE}]+|[^\w\s])(\s*)")


@dataclass(frozen=True)
class Piece:
    """A run of words, with the spaces between them, that both answers or only one of them has."""

    side: Literal["both", "left", "right"]
    text: str


def differences(left: str, right: str) -> tuple[Piece, ...]:
    """Both answers as one text: what they share, and what only one of them says.

    The spaces of what they share are the right answer's.
    """
    ours, theirs = _words(left), _words(right)
    pieces: list[Piece] = []
    for kind, i, j, k, m in _matcher(ours, theirs).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("both", _text(theirs[k:m])))
            continue
        if i < j:
            pieces.append(Piece("left", _text(ours[i:j])))
        if k < m:
            pieces.append(Piece("right", _text(theirs[k:m])))
    return tuple(pieces)


def agreement(left: str, right: str) -> float:
    """The share of both answers' words that they have in common, in the same order: 0 to 1."""
    return _matcher(_words(left), _words(right)).ratio()


def _words(text: str) -> list[tuple[str, str]]:
    """(word, the spaces after it)."""
    return _WORD.findall(text)


def _matcher(left: list[tuple[str, str]], right: list[tuple[str, str]]) -> SequenceMatcher[str]:
    one, other = ([word for word, _ in side] for side in (left, right))
    return SequenceMatcher(None, one, other, autojunk=False)


def _text(words: list[tuple[str, str]]) -> str:
    return "".join(word + spaces for word, spaces in words)
