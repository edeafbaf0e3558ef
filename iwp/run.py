"""One run in a worker thread: its events, its stop flag and its deadline. Knows no models."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Literal

from iwp.errors import DeadlineError, IWPError
from iwp.events import Done, Event, Stage, Text
from iwp.results import RunResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Work = Callable[["Brake"], Iterator[Event]]

_SHORT_WAIT_S = 0.05  # a wait that nobody has to be told of


class Halted(Exception):
    """Ends the work between two steps; never leaves the worker thread."""

    def __init__(self, reason: Literal["stopped", "deadline"]) -> None:
        super().__init__(reason)
        self.reason = reason


class Brake:
    """Says when a run has to end: somebody pressed it, or its time on the device is over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = float("inf")
        self._pressed = threading.Event()

    def start(self) -> None:
        """Starts the clock: time spent waiting for the device does not count."""
        self._end = time.monotonic() + self._seconds

    def press(self) -> None:
        """Asks the work to stop at its next check. Returns at once."""
        self._pressed.set()

    @property
    def reason(self) -> Literal["stopped", "deadline"] | None:
        """Why the work has to end, or None while it may go on."""
        if self._pressed.is_set():
            return "stopped"
        return "deadline" if time.monotonic() >= self._end else None

    def check(self) -> None:
        """Raises `Halted` when the work has to end."""
        if reason := self.reason:
            raise Halted(reason)


def result_of(events: Iterable[Event]) -> RunResult:
    """The result that a run ends with. Reads to the end: the device is free again then.

    Raises:
        IWPError: the run was stopped; and what reading the events raises.
    """
    result: RunResult | None = None
    for event in events:
        if isinstance(event, Done):
            result = event.result
    if result is None:
        raise IWPError("The run was stopped before both answers were there.")
    return result


class Run:
    """Work that goes on in a thread of its own. Iterate it to get its events.

    The WORKER holds the device lock, from its first step until it has really ended. A caller that
    goes away (a closed page, a cancelled request) can therefore never let a second run onto the
    device while the first one is still busy.
    """

    def __init__(self, work: Work, device: threading.Lock, deadline_s: float) -> None:
        self._work = work
        self._device = device
        self._deadline_s = deadline_s
        self._brake = Brake(deadline_s)
        self._items: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="iwp-run", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the run within one token. Only sets a flag: safe to call from an event loop."""
        self._brake.press()

    def join(self, timeout: float | None = None) -> bool:
        """Waits until the worker has ended; false when it has not after `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def result(self) -> RunResult:
        """Waits for the end of the run.

        Raises:
            IWPError: the run was stopped, ran out of time before it had an answer, or failed.
        """
        return result_of(self)

    def __iter__(self) -> Iterator[Event]:
        """Every event, as it happens. Raises what the work raised."""
        while (event := _event(self._items.get())) is not None:
            yield event

    def updates(self, hz: float = 20.0) -> Iterator[Event]:
        """Like iteration, but of the `Text` events only the newest, at most `hz` a second.

        The last text of a side and every other event always come through. Closing the generator
        stops the run.
        """
        pending: Text | None = None
        due = 0.0
        try:
            while True:
                wait = None if pending is None else due - time.monotonic()
                try:
                    if wait is not None and wait <= 0:
                        raise queue.Empty
                    item = self._items.get(timeout=wait)
                except queue.Empty:
                    assert pending is not None
                    yield pending
                    pending, due = None, time.monotonic() + 1 / hz
                    continue
                if isinstance(item, Text):
                    pending = item
                    continue
                if pending is not None:  # also before an error
                    yield pending
                    pending = None
                if (event := _event(item)) is None:
                    return
                yield event
        finally:
            self.stop()

    def _main(self) -> None:
        try:
            if self._take_device():
                try:
                    self._brake.start()
                    for event in self._work(self._brake):
                        self._items.put(event)
                finally:
                    self._device.release()
        except Halted as halted:
            if halted.reason == "deadline":
                text = f"The model had no answer within the limit of {self._deadline_s:g} s; "
                self._items.put(DeadlineError(text + "try a smaller picture or a smaller model."))
        except BaseException as error:  # raised again where the events are read
            self._items.put(error)
        finally:
            self._items.put(None)

    def _take_device(self) -> bool:
        if self._device.acquire(timeout=_SHORT_WAIT_S):
            return True
        self._items.put(Stage("waiting"))
        while not self._device.acquire(timeout=_SHORT_WAIT_S):
            if self._brake.reason:
                return False
        return True


def _event(item: Event | BaseException | None) -> Event | None:
    """What the worker sent; raises what the work raised."""
    if isinstance(item, BaseException):
        raise item
    return item
