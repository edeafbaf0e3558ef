"""Which event of the page calls which handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from iwp.ui import api
from iwp.ui.clip_preview import Previews
from iwp.ui.exports import Exports
from iwp.ui.handlers import Handlers
from iwp.ui.picture_check import PictureCheck
from iwp.ui.recorded import Recorded
from iwp.ui.sharing import Sharing
from iwp.ui.steady import steady
from iwp.ui.sweeps import Sweeps
from iwp.ui.switches import Switches

if TYPE_CHECKING:
    from iwp.settings import Settings
    from iwp.ui.backend import Backend
    from iwp.ui.layout import Asking, Showing
    from iwp.ui.shelf import Shelf

# The budget stands in the widget; Compare reads it there, and a link sets it there. What is on the
# tab that is not open is not asked about.
_AS_SHOWN: Final = """(picture, video, question, _, ...rest) => {
    const tab = document.querySelector("#video-tab-button");
    const film = tab && tab.getAttribute("aria-selected") === "true";
    const { tokenMap } = document.querySelector("#token-map .token-map");
    return [film ? null : picture, film ? video : null, question, tokenMap.budget(), ...rest];
}"""
# An example's file is known by its bytes: its tab may not be open yet.
_WITH_BUDGET: Final = """(picture, video, question, _, ...rest) => [
    picture, video, question,
    document.querySelector("#token-map .token-map").tokenMap.budget(), ...rest,
]"""
_SET_BUDGET: Final = """(budget) => {
    if (!budget) return;
    const set = () => {
        const map = document.querySelector("#token-map .token-map");
        if (map && map.tokenMap) map.tokenMap.setPercent(100 * budget);
        else requestAnimationFrame(set);
    };
    set();
}"""
# The question is about a file of the sender's: not about the opening example, which stands there
# already. In the browser alone, so that it happens before a visitor can bring a file.
_OWN_FILE: Final = """(picture, video) => {
    const said = new URLSearchParams(location.search);
    return said.get("q") && !said.get("example") ? [null, null] : [picture, video];
}"""
_FORM_CHANGED: Final = """(picture, video) => {
    const map = document.querySelector("#token-map .token-map");
    if (map && map.tokenMap) map.tokenMap.formChanged(picture, video);
}"""
_STALE: Final = """() => [
    document.querySelector("#token-map .token-map").tokenMap.outdated(),
]"""
_EXPORTED: Final = """() => {
    document.querySelector("#token-map .token-map").tokenMap.exported();
}"""
_PRIVATE: Final[dict[str, Any]] = {"api_visibility": "private", "show_progress": "hidden"}
# The engine's own lock guards the device; this limit only keeps the queue in order.
_DEVICE: Final[dict[str, Any]] = {"concurrency_id": "gpu", "concurrency_limit": 1}
# Not in that queue: there the answer of a run that holds the device would wait behind it.
_SWITCH: Final[dict[str, Any]] = {"concurrency_id": "switch", "concurrency_limit": 1}


def wire(
    demo: gr.Blocks,
    engine: Backend,
    settings: Settings,
    shelf: Shelf,
    asking: Asking,
    showing: Showing,
    head: gr.HTML,
) -> None:
    """Connect events and handlers. Only `/compare` is public."""
    cache = showing.token_map.GRADIO_CACHE
    handlers = Handlers(engine, settings, cache)
    checked = PictureCheck(handlers.visitors, engine, settings.max_pixels)
    previews = Previews(handlers.visitors, engine, settings.max_pixels, cache)
    sweeps = Sweeps(engine, handlers.visitors)
    recorded = Recorded(handlers, engine, shelf)
    exports = Exports(handlers.visitors, cache)
    sharing = Sharing(lambda: handlers.usual, handlers.visitors, shelf.examples, cache)
    budget = gr.Number(visible="hidden")  # in the page, so that a link's budget reaches the script
    asked = [asking.picture, asking.question]
    files = [asking.picture, asking.video]
    sides = [asking.left, asking.right, asking.convention]
    answers: list[Any] = [
        *(showing.baseline, showing.pruned, showing.timings),
        *(asking.status, showing.kept),
    ]
    page = [showing.token_map, *answers]
    form = [asking.picture, asking.video, asking.question, budget, *sides, *asking.knobs]

    # Whatever picture comes, what was said of the one before goes; then an upload is looked at.
    asking.picture.change(None, None, asking.refusal, js="() => ''")
    asking.picture.upload(
        checked.check,
        asking.picture,
        asking.refusal,
        trigger_mode="always_last",
        concurrency_limit=2,
        **_PRIVATE,
    )
    asking.video.change(
        previews.preview, asking.video, asking.preview, concurrency_limit=2, **_PRIVATE
    )
    begun = gr.on(
        [asking.compare.click, asking.question.submit],
        handlers.begin,
        form,
        [*page, showing.swept],
        js=_AS_SHOWN,
        concurrency_limit=None,  # in the queue only because its errors show there
        **_PRIVATE,
    )
    picked = showing.token_map.picked(
        handlers.pick, None, [*page, showing.swept], concurrency_limit=None, **_PRIVATE
    )
    going: list[Any] = []
    for first in (begun, picked):
        ranked = first.success(steady(handlers.rank), None, page, **_PRIVATE, **_DEVICE)
        answered = ranked.success(steady(handlers.answer), None, answers, **_PRIVATE, **_DEVICE)
        going += [ranked, answered]

    noted = showing.token_map.release(
        handlers.note, None, None, queue=False, trigger_mode="multiple", **_PRIVATE
    )
    repruned = noted.success(
        steady(handlers.repruned), None, answers, trigger_mode="multiple", **_PRIVATE, **_DEVICE
    )

    repruned.success(recorded.redrawn, None, showing.token_map, queue=False, **_PRIVATE)

    changes = [field.change for field in (asking.picture, asking.video, asking.question)]
    gr.on([*changes, asking.tabs.change], None, files, None, js=_FORM_CHANGED)
    stale = gr.Checkbox(visible="hidden")  # the script says it
    asked_for = showing.sweep.click(
        sweeps.ask,
        stale,
        None,
        js=_STALE,
        concurrency_limit=None,  # in the queue only because its errors show there
        **_PRIVATE,
    )
    swept = asked_for.success(
        steady(sweeps.sweep), None, [showing.swept, asking.status], **_PRIVATE, **_DEVICE
    )

    # The button works again whatever came of it.
    showing.token_map.export(
        exports.export, None, showing.download, concurrency_limit=2, **_PRIVATE
    ).then(None, None, None, js=_EXPORTED)

    # First the run ends by itself, then its event is cancelled (it may still wait in the queue),
    # and at last the page gets what a cancelled event did not deliver.
    halted = asking.stop.click(handlers.halt, None, None, queue=False, **_PRIVATE)
    halted.then(None, None, None, cancels=[*going, repruned, swept])
    rest = halted.then(handlers.last, None, [*answers, showing.swept], queue=False, **_PRIVATE)

    demo.load(None, files, files, js=_OWN_FILE)
    opened = demo.load
    if asking.models is not None:
        switches = Switches(engine, handlers, asking.models.catalogue)
        own = [head, asking.about, asking.models.menu, asking.models.status, *asking.knobs]
        asking.models.load.click(
            steady(switches.switch), asking.models.menu, own, **_PRIVATE, **_SWITCH
        )
        begun.success(switches.shown, None, own, queue=False, **_PRIVATE)
        # Before a link's settings are filled in.
        opened = demo.load(switches.shown, None, own, queue=False, **_PRIVATE).then
    loaded = opened(
        sharing.restore,
        None,
        [*asked, *sides, budget, asking.status, *asking.knobs, asking.tabs, asking.video],
        queue=False,
        **_PRIVATE,
    )
    loaded.success(None, budget, None, js=_SET_BUDGET)
    to_page: dict[str, Any] = {"outputs": [*page, showing.swept], "queue": False, **_PRIVATE}
    shown = [loaded.success(recorded.first, form, **to_page)]
    example = [*asked, asking.tabs, asking.video]
    if asking.random is not None and asking.examples is not None:
        chosen = (
            asking.random.click(sharing.draw, asking.question, example, queue=False, **_PRIVATE),
            asking.examples.click(
                sharing.choose, asking.examples, example, queue=False, **_PRIVATE
            ),
        )
        shown += [
            event.success(recorded.show, form, js=_WITH_BUDGET, **to_page) for event in chosen
        ]

    for event in (begun, picked, *going, repruned, rest, *shown):
        event.then(sharing.share, None, showing.share, queue=False, **_PRIVATE)

    demo.unload(handlers.forget)
    gr.api(api.endpoint(engine, settings), api_name="compare", **_DEVICE)
