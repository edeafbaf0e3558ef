"""One model in the place of another, step by step, on the device."""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import torch

from iwp.adapters import check
from iwp.errors import IWPError, ModelError
from iwp.events import Stage
from iwp.run import Brake, Halted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iwp.events import Event
    from iwp.seat import Seat

    Warm = Callable[[Brake], Iterator[Event]]

_LOG = logging.getLogger(__name__)


def switch(seat: Seat, model: str, warm: Warm) -> Iterator[Event]:
    """Load a model onto a seat; where that fails, the one before it again.

    Yields:
        What is going on.

    Raises:
        ModelError: the model cannot be loaded or has no room to answer; says which one answers now.
    """
    before = seat.source
    check(model)  # refused while the old one is still there
    try:
        yield Stage("freeing")
        seat.empty()
        yield Stage("loading")
        problem = _problem(partial(seat.take, model), model, "cannot be loaded")
        if problem is None:
            yield Stage("warming")
            problem = _problem(partial(_warmed, seat, warm), seat.vlm.name, "cannot answer")
        if problem is None:
            return
        yield Stage("returning")
        seat.empty()
        if _problem(partial(seat.take, before), before, "cannot be loaded") is not None:
            seat.source = before
            raise ModelError(f"{problem} The model before it cannot be loaded again either.")
        raise ModelError(f"{problem} {seat.vlm.name} answers as before.")
    finally:
        seat.settle()


def _problem(step: Callable[[], None], name: str, failure: str) -> str | None:
    """Take a step with a model; why that cannot be done, None where it is.

    A sentence and no error, whose traceback would keep what was loaded of the model.
    """
    try:
        step()
    except IWPError as error:
        return str(error)
    except torch.OutOfMemoryError:
        return f"The device ran out of memory with {name}."
    except Exception:  # models fail in as many ways as there are models
        _LOG.error("The model %s %s:\n%s", name, failure, traceback.format_exc())
        return f"The model {name} {failure}; the server's log says why."
    return None


def _warmed(seat: Seat, warm: Warm) -> None:
    """Let the model of the seat answer, however slowly."""
    brake = Brake(seat.deadline_s)  # the time that loading took does not count
    brake.start()
    with suppress(Halted):
        for _ in warm(brake):
            pass
