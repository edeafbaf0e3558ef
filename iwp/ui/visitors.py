"""What the server remembers of every open tab. Knows nothing about components."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iwp.events import Ranked
from iwp.ui.page import Page

if TYPE_CHECKING:
    from iwp.events import Event
    from iwp.recordings import Recording
    from iwp.results import RunResult
    from iwp.session import Session
    from iwp.types import Answer, Media
    from iwp.ui.backend import PageRun
    from iwp.ui.sides import Sides

_UPDATES_HZ = 10.0  # often enough to read along, rare enough for a slow browser
_MOST_BYTES = 2**30  # a 7B model's session has about 70 MB


def _event_set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass(frozen=True)
class Asked:
    """One press of Compare.

    `run_id` is new each time, `picture` is the file that the page shows, `file` the one that was
    uploaded. Of a video `frames` are the files of all its frames, and `picture` is the first.
    `recording` is what the page shows instead of a run, where it does.
    """

    run_id: str
    media: Media
    question: str
    budget: float
    picture: str
    sides: Sides
    file: str = ""
    frames: tuple[str, ...] = ()
    recording: Recording | None = None


@dataclass
class Visitor:
    """One open tab. Events of the page change it while a run is going on.

    Attributes:
        uploaded: the newest picture or video that was chosen: which of both and its file (a GIF may
            be either), the serial of the model that it was decoded for, and its frames.
        filled: the source of the model that the settings' fields were filled for.
        asked: the last comparison that was asked for.
        ranked: where its visual tokens lie and their order, once they are ranked.
        session: the encoded picture, once there is one; serves other budgets.
        baseline: the left side's answer.
        wanted: the newest budget, a fraction.
        seq: number of the release that asked for `wanted`; late older releases are ignored.
        answered: budget of the right side's answer on the page; None while it is not a whole one.
        result: the whole comparison on the page; None while it is not whole.
        stopped: Stop was pressed after the last question or release.
        run: the run that is going on.
        events: its events that are not on the page yet.
        redraw: the map on the page is a recording's, the answers beside it are not.
        idle: set while no run of this tab is going on.
        page: what the tab shows.
    """

    uploaded: tuple[tuple[str, str], int, Media] | None = None
    filled: str = ""
    asked: Asked | None = None
    ranked: Ranked | Recording | None = None
    session: Session | None = None
    baseline: Answer | None = None
    wanted: float = 0.0
    seq: int = 0
    answered: float | None = None
    result: RunResult | None = None
    stopped: bool = False
    run: PageRun | None = None
    events: Iterator[Event] | None = None
    redraw: bool = False
    idle: threading.Event = field(default_factory=_event_set)
    page: Page = field(default_factory=Page)
    _changing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def waiting(self) -> bool:
        """Whether a comparison is going on or still has to start."""
        return self.run is not None or self.page.busy

    @property
    def nbytes(self) -> int:
        """Bytes of what is decoded, and of the session."""
        asked, uploaded = self.asked, self.uploaded  # other threads change them
        held = (asked and asked.media, uploaded and uploaded[2])
        frames = {id(frame): frame for media in held if media for frame in media.frames}
        pixels = sum(frame.width * frame.height for frame in frames.values())
        return 3 * pixels + (self.session.nbytes if self.session else 0)

    def show(self, page: Page) -> Page:
        """Note what the tab shows from now on."""
        self.page = page
        return page

    def ask(self, asked: Asked) -> None:
        """Start from nothing with a new question. An earlier run changes nothing any more."""
        self.halt()
        self.finish(self.run)
        self.clear()
        self.asked = asked
        self.wanted = asked.budget
        self.stopped = False

    def clear(self) -> None:
        """Forget what an earlier question has led to."""
        self.ranked = None
        self.redraw = False
        self.session = None
        self.baseline = None
        self.answered = None
        self.result = None

    def want(self, budget: float, seq: int) -> None:
        """Note the newest budget. Releases may arrive out of order."""
        if seq > self.seq:
            self.seq, self.wanted, self.stopped = seq, budget, False

    def start(self, run: PageRun) -> None:
        """Make `run` the one that is going on; an earlier one ends."""
        with self._changing:
            if self.run is not None:
                self.run.stop()
            self.idle.clear()
            self.run = run
            self.events = run.updates(_UPDATES_HZ)
        if self.stopped:
            run.stop()

    def finish(self, run: PageRun | None) -> bool:
        """`run` is over. Waits for nothing: called on the server's event loop too.

        Returns:
            Whether it was the one going on. The event of an earlier run may end long after the
            next one has started, and leaves that one alone.
        """
        if run is None:
            return False
        run.stop()
        with self._changing:
            if self.run is not run:
                return False
            self.run = None
            self.events = None
            self.idle.set()
            return True

    def until_ranked(self) -> Iterator[Event]:
        """The run's events up to the ranking. It goes on unless this ends in any other way."""
        run, events = self.run, self.events
        try:
            for event in events or ():
                if self.run is not run:
                    return
                yield event
                if isinstance(event, Ranked):
                    return
        except BaseException:  # also when the tab is closed
            self.finish(run)
            raise
        self.finish(run)

    def halt(self) -> None:
        """Stop what is running, and what waits to run. Returns at once."""
        self.stopped = True
        if self.run is not None:
            self.run.stop()


class Visitors:
    """Open tabs by session hash. The least recently used are forgotten beyond `most`.

    Of tabs that hold more than `most_bytes` together, the least recently used lose their picture
    and session; those whose comparison is going on or has to start keep them.
    """

    def __init__(self, first: str = "", most: int = 64, most_bytes: int = _MOST_BYTES) -> None:
        """`first` is the source of the model that pages are laid out for."""
        self._first = first
        self._most = most
        self._most_bytes = most_bytes
        self._tabs: OrderedDict[str, Visitor] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._tabs)

    def get(self, session_hash: str | None) -> Visitor:
        """The visitor behind a request, a new one if it is not known."""
        with self._lock:
            visitor = self._tabs.setdefault(session_hash or "", Visitor(filled=self._first))
            self._tabs.move_to_end(session_hash or "")
            while len(self._tabs) > self._most:
                self._tabs.popitem(last=False)[1].halt()
            self._lighten(visitor)
            return visitor

    def _lighten(self, newest: Visitor) -> None:
        held = sum(visitor.nbytes for visitor in self._tabs.values())
        for visitor in self._tabs.values():
            if held <= self._most_bytes or visitor is newest:
                return
            if not visitor.waiting:
                held -= visitor.nbytes
                visitor.asked = visitor.uploaded = None
                visitor.clear()

    def forget(self, session_hash: str | None) -> None:
        """Stop and drop a closed tab."""
        with self._lock:
            visitor = self._tabs.pop(session_hash or "", None)
        if visitor is not None:
            visitor.halt()
