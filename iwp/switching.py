"""One model in the place of another, step by step, on the device."""

from __future__ import annotations

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


def switch(seat: Seat, model: str, warm: Warm) -> Iterator[Event]:
    """Load a model onto a seat; where that fails, the one before it again.

    Yields:
        What is going on.

    Raises:
        ModelError: the model cannot be loaded or has no room to answer; says which one answers now.
    """
    before = seat.source
    check(model)  # refused while the old one is still there
    yield Stage("freeing")
    seat.empty()
    yield Stage("loading")
    problem = seat.take(model)
    if problem is None:
        yield Stage("warming")
        problem = _unable(seat, warm)
    if problem is None:
        return
    yield Stage("returning")
    seat.empty()
    if seat.take(before) is not None:
        raise ModelError(f"{problem} The model before it cannot be loaded again either.")
    raise ModelError(f"{problem} {seat.vlm.name} answers as before.")


def _unable(seat: Seat, warm: Warm) -> str | None:
    """Why the new model cannot answer; None where it can, however slowly."""
    brake = Brake(seat.deadline_s)  # the time that loading took does not count
    brake.start()
    try:
        for _ in warm(brake):
            pass
    except Halted:
        return None
    except torch.OutOfMemoryError:
        return f"The device ran out of memory with {seat.vlm.name}."
    except IWPError as error:
        return str(error)
    return None
