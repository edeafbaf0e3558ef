"""One model in the place of another, step by step, on the device."""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from iwp.errors import ModelError
from iwp.events import Stage
from iwp.run import Brake, Halted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iwp.events import Event
    from iwp.seat import Seat

    Warm = Callable[[Brake], Iterator[Event]]

_LOG = logging.getLogger(__name__)


def switch(seat: Seat, model: str, warm: Warm, name: str = "") -> Iterator[Event]:
    """Load a model onto a seat; where that fails, the one before it again.

    Args:
        seat: of the device that this thread has.
        model: what `iwp.load` takes, perhaps a path that nobody but the operator should see.
        warm: answers something with the model of the seat.
        name: what people call the new model; the end of `model` where it is empty.

    Yields:
        What is going on.

    Raises:
        ModelError: the model cannot be loaded or has no room to answer; says which one answers now.
    """
    before = seat.source
    name = name or Path(model).name
    problem = _problem(partial(seat.check, model), name, "cannot be loaded")
    if problem is not None:  # while the old one is still there
        raise ModelError(problem)
    try:
        yield Stage("freeing")
        seat.empty()
        yield Stage("loading")
        problem = _problem(partial(seat.take, model), name, "cannot be loaded")
        if problem is None:
            yield Stage("warming")
            problem = _problem(partial(_warmed, seat, warm), name, "cannot answer")
        if problem is None:
            return
        yield Stage("returning")
        seat.empty()
        if _problem(partial(seat.take, before), before, "cannot be loaded") is not None:
            seat.source = before
            raise ModelError(f"{problem} The model before it cannot be loaded again either.")
        _problem(partial(_warmed, seat, warm), before, "cannot answer")  # it could, before
        raise ModelError(f"{problem} {seat.vlm.name} answers as before.")
    finally:
        seat.settle()


def _problem(step: Callable[[], None], name: str, failure: str) -> str | None:
    """Take a step with a model; why that cannot be done, None where it is.

    A sentence and no error, whose traceback would keep what was loaded of the model. It tells
    nothing of the server's files: the log does.
    """
    try:
        step()
    except Exception as error:  # models fail in as many ways as there are models
        _LOG.error("The model %s %s:\n%s", name, failure, traceback.format_exc())
        if isinstance(error, torch.OutOfMemoryError) or isinstance(
            error.__cause__, torch.OutOfMemoryError
        ):
            return f"The device ran out of memory with {name}."
        return f"The model {name} {failure}; the server's log says why."
    return None


def _warmed(seat: Seat, warm: Warm) -> None:
    """Let the model of the seat answer, however slowly."""
    brake = Brake(seat.deadline_s)  # the time that loading took does not count
    brake.start()
    with suppress(Halted):
        for _ in warm(brake):
            pass
