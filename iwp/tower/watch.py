"""Hooks on a vision tower that read its attention while the model encodes, and come off again."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from iwp.errors import IWPError, ModelError
from iwp.measure import Stopwatch
from iwp.support import decoder_of, lock_of
from iwp.types import Tower


class Attended(NamedTuple):
    """A call of the attention module: its input and its other arguments."""

    hidden: Tensor
    call: dict[str, Any]


class Watch(ABC):
    """Reads the tower of one model while that encodes pictures, whichever way it is asked to.

    Queries and keys of one layer are recomputed by its own projections, so the tower may run any
    attention kernel. `TOWERS` knows which layer that is in which family.
    """

    def __init__(self, model: Any, attention: Any, end: Any) -> None:
        """Nothing is hooked yet.

        Args:
            model: a transformers vision-language model.
            attention: the attention module of the tower's layer.
            end: the module after which the number of features is known.

        Raises:
            ModelError: the attention has no projections that IWP knows.
        """
        if not (hasattr(attention, "qkv") or hasattr(attention, "q_proj")):
            raise ModelError(
                f"IWP does not know the attention of this vision tower, {type(attention).__name__};"
                " choose a method that does without."
            )
        self._model = model
        self._attention: nn.Module = attention
        self._end: nn.Module = end
        self._thread: int | None = None
        self._attended: Attended | None = None
        self._found: Tensor | None = None
        self._seconds = 0.0

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """Read what this thread encodes inside the block. Other threads' pictures are theirs."""
        with lock_of(decoder_of(self._model)), ExitStack() as stack:
            self._thread = threading.get_ident()
            before = self._attention.register_forward_pre_hook(self._remember, with_kwargs=True)
            stack.callback(before.remove)
            after = self._end.register_forward_hook(self._finish, with_kwargs=True)
            stack.callback(after.remove)
            self._watch_more(stack)
            yield self

    def take(self, counts: Sequence[int]) -> tuple[Tower | None, ...]:
        """What was found since the last time, for every row of a batch; then it is forgotten.

        Args:
            counts: visual tokens in each row. Rows may be copies, one after another, of prompts
                that were encoded once.

        Returns:
            One for each row; None for a row without visual tokens. The seconds are shared out
            evenly among the others.

        Raises:
            IWPError: the tower was not seen encoding these tokens.
        """
        found, self._found = self._found, None
        found = None if found is None else found.flatten(0, -2)
        seconds, self._seconds = self._seconds, 0.0
        if not any(counts):
            return (None,) * len(counts)
        if found is None or len(found) == 0:
            raise IWPError(
                "This method looks at the vision tower: let the model itself read the pictures, or "
                "give what the tower found, tower=..."
            )
        copies = max(sum(counts) // len(found), 1)
        once = list(counts[::copies])
        if sum(once) != len(found) or [n for n in once for _ in range(copies)] != list(counts):
            raise IWPError(
                f"The vision tower was seen encoding {len(found)} visual tokens and the prompts "
                f"have {sum(counts)}: show every picture in the call that reads its prompt."
            )
        each = seconds / sum(count > 0 for count in once)
        shares = [
            Tower(part[:, 0], part[:, 1:], each) if len(part) else None
            for part in torch.split(found, once)
        ]
        return tuple(share for share in shares for _ in range(copies))

    @abstractmethod
    def _read(self, seen: Attended, output: Any, call: dict[str, Any]) -> Tensor:
        """(..., 1 + d) float32 saliency and keys for every feature that `end` made.

        `output` and `call` (keyword arguments) are those of the module `end`.
        """

    def _watch_more(self, stack: ExitStack) -> None:  # noqa: B027 - most need nothing
        """Whatever else a family needs; it is undone when the stack closes."""

    def _mine(self) -> bool:
        return threading.get_ident() == self._thread

    @contextmanager
    def _timed(self, like: Tensor) -> Iterator[None]:
        """What happens here, on the device of `like`, is the method's work and not the model's."""
        watch = Stopwatch(like.device)
        with torch.no_grad():
            yield
        self._seconds += watch.seconds()

    def _remember(self, _: nn.Module, args: tuple[Any, ...], call: dict[str, Any]) -> None:
        if self._mine():
            hidden = args[0] if args else call["hidden_states"]
            self._attended = Attended(hidden.detach(), call)

    def _finish(self, _: nn.Module, __: Any, call: dict[str, Any], output: Any) -> None:
        if not self._mine():
            return
        seen, self._attended = self._attended, None
        if seen is None:
            return
        # Seconds of an encoding that nobody has taken are not those of this one.
        self._seconds = 0.0
        with self._timed(seen.hidden):
            self._found = self._read(seen, output, call)


@dataclass(frozen=True)
class Given:
    """What the caller has found for the one prompt that is read, in place of a `Watch`."""

    tower: Tower

    def take(self, counts: Sequence[int]) -> tuple[Tower | None, ...]:
        """See `Watch.take`; every row with visual tokens is that prompt."""
        n = len(self.tower.saliency)
        if not set(counts) <= {0, n}:
            raise IWPError(
                f"What the tower found, tower=..., is for {n} visual tokens; the prompts have "
                f"{', '.join(map(str, counts))}."
            )
        return tuple(self.tower if count else None for count in counts)


@contextmanager
def stood_in(owner: nn.Module, name: str, stand_in: Callable[..., Any]) -> Iterator[None]:
    """Let `stand_in` be called in place of a method of this one module."""
    own = vars(owner).get(name)
    setattr(owner, name, stand_in)
    try:
        yield
    finally:
        delattr(owner, name)
        if own is not None:
            setattr(owner, name, own)
