"""Patches that a person picked: what the browser sends, as a method that keeps them."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from iwp.errors import InputError
from iwp.pruners import HandPicked
from iwp.ui import text

if TYPE_CHECKING:
    from iwp.pruners import Pruner
    from iwp.ui.sides import Sides


def picked_tokens(bits: Any, n: int) -> tuple[int, ...]:
    """The numbers of the tokens whose bit is set: see `iwp.ui.token_sides.kept_bits`.

    Args:
        bits: what the browser sent: anything.
        n: visual tokens of the picture.

    Raises:
        InputError: these are not n bits.
    """
    try:
        data = np.frombuffer(base64.b64decode(bits, validate=True), dtype=np.uint8)
    except (TypeError, ValueError, binascii.Error):
        raise InputError(text.NO_PICK) from None
    flags = np.unpackbits(data, bitorder="little")
    if data.size != (n + 7) // 8 or flags[n:].any():
        raise InputError(text.NO_PICK)
    return tuple(int(token) for token in flags.nonzero()[0])


def by_hand(sides: Sides, tokens: tuple[int, ...], budget: float) -> Sides:
    """A hand's choice on the right, against the method that the page compared before.

    The hand's cut comes where the method's first one does.

    Raises:
        InputError: no token is picked.
    """
    method = method_of(sides)
    layer = method.cuts[0].layer
    hand = HandPicked(budget=budget, layer=layer, tokens=tokens)
    return replace(sides, left=method, right=hand)


def method_of(sides: Sides) -> Pruner:
    """The method that a hand's choice is held against; without a hand the right side's."""
    if isinstance(sides.right, HandPicked) and sides.left is not None:
        return sides.left
    return sides.right
