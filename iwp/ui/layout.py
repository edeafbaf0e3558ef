"""Where everything stands on the page."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from iwp.catalogue import Catalogue
from iwp.pruners import PRUNERS
from iwp.ui import header, model_panel, sides, text
from iwp.ui.camera import Camera
from iwp.ui.clip_preview import ClipPreview
from iwp.ui.download import Download
from iwp.ui.examples import EXAMPLES, Examples
from iwp.ui.knob_panel import panel
from iwp.ui.knobs import recommended
from iwp.ui.menus import Menu, Switch
from iwp.ui.model_panel import ModelPanel
from iwp.ui.share_bar import ShareBar
from iwp.ui.shelf import Shelf
from iwp.ui.switches import about
from iwp.ui.token_map import TokenMap
from iwp.ui.token_sides import KeptTokens
from iwp.ui.upload import VIDEO_TYPES, PictureUpload, VideoUpload
from iwp.ui.wiring import wire

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.settings import Settings
    from iwp.ui.backend import Backend

MAX_WAITING: Final = 32
_CACHE_SECONDS: Final = (600, 3600)  # look every 10 minutes, drop pictures after an hour


@dataclass(frozen=True)
class Asking:
    """The left column: what a person gives."""

    tabs: gr.Tabs
    picture: gr.Image
    refusal: gr.HTML
    video: gr.File
    preview: ClipPreview
    question: gr.Textbox
    left: Menu
    right: Menu
    convention: Switch
    compare: gr.Button
    stop: gr.Button
    status: gr.HTML
    examples: gr.Dataset | None
    random: gr.Button | None
    knobs: list[Any]  # in the order of `iwp.ui.knobs.NAMES`
    models: ModelPanel | None
    about: gr.HTML


@dataclass(frozen=True)
class Showing:
    """The right column: what comes of it."""

    token_map: TokenMap
    baseline: gr.Textbox
    pruned: gr.Textbox
    timings: gr.HTML
    kept: KeptTokens
    share: ShareBar
    sweep: gr.Button
    swept: gr.HTML
    download: Download


def build_demo(engine: Backend, settings: Settings, examples: Path = EXAMPLES) -> gr.Blocks:
    """The page, ready to launch.

    Args:
        engine: runs the comparisons.
        settings: what the operator chose.
        examples: a folder with `examples.json`; without it the page shows no examples.
    """
    shelf, catalogue = Shelf(engine, Examples(examples)), Catalogue.of(settings)
    with gr.Blocks(title=text.TITLE, analytics_enabled=False, delete_cache=_CACHE_SECONDS) as demo:
        head = _html("header", header.render(header.facts(engine)))
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=4, min_width=320):
                asking = _asking(shelf, catalogue, engine, settings)
            with gr.Column(scale=7, min_width=320):
                showing = _showing()
        Camera(engine, demo, asking.question)
        wire(demo, engine, settings, shelf, asking, showing, head)
    demo.queue(max_size=MAX_WAITING, default_concurrency_limit=4)
    return demo


def _asking(shelf: Shelf, catalogue: Catalogue, engine: Backend, settings: Settings) -> Asking:
    # From the beginning and not by an event: that might undo what a quick visitor has done.
    file, asked = _opening(shelf)
    tabs, picture, refusal, video, preview = _media(file)
    question = gr.Textbox(
        asked,
        label=text.QUESTION,
        placeholder=text.QUESTION_HINT,
        max_lines=4,
        elem_id="question",
    )
    left, right, convention = _sides()
    with gr.Accordion(text.SETTINGS, open=False, elem_id="settings"):
        models = model_panel.panel(catalogue, engine)
        usual = recommended(engine.vlm, settings.max_new_tokens)
        fields = panel(usual, len(engine.vlm.adapter.decoder_layers))
    with gr.Row(elem_id="buttons"):
        compare = gr.Button(text.COMPARE, variant="primary", elem_id="compare")
        stop = gr.Button(text.STOP, elem_id="stop", min_width=96, scale=0)
    status = _html("status")
    told = _html("about", about(settings.model))
    listed = drawn = None
    if rows := [[str(shown), asked] for shown, asked in shelf.examples.rows]:
        listed = gr.Dataset(
            components=[picture, question],
            samples=rows,
            type="index",
            label=text.EXAMPLES,
            elem_id="examples",
        )
        drawn = gr.Button(text.RANDOM, size="sm", elem_id="random")
    return Asking(
        *(tabs, picture, refusal, video, preview, question, left, right, convention),
        *(compare, stop, status, listed, drawn, fields, models, told),
    )


def _opening(shelf: Shelf) -> tuple[dict[str, str], str]:
    """The file, by its tab, and the question of the example that a fresh page shows, if any."""
    number = shelf.opening()
    if number is None:
        return {}, ""
    file, asked = shelf.examples.asked[number - 1]
    return {"video" if shelf.examples.is_clip(number) else "picture": str(file)}, asked


def _media(
    file: dict[str, str],
) -> tuple[gr.Tabs, PictureUpload, gr.HTML, VideoUpload, ClipPreview]:
    """What is asked about; the open tab decides."""
    with gr.Tabs(selected=next(iter(file), "picture"), elem_id="media") as tabs:
        with gr.Tab(text.PICTURE, id="picture"):
            picture = PictureUpload(
                file.get("picture"),
                show_label=False,
                label=text.PICTURE,
                sources=["upload", "clipboard"],
                height=240,
                buttons=[],
                elem_id="picture",
            )
            refusal = _html("picture-refusal")
        with gr.Tab(text.VIDEO, id="video", elem_id="video-tab"):
            video = VideoUpload(
                file.get("video"),
                show_label=False,
                label=text.VIDEO,
                file_types=VIDEO_TYPES,
                height=150,
                elem_id="video",
            )
            _html("video-hint", f"<p>{text.VIDEO_HINT}</p>")
            preview = ClipPreview(elem_id="clip")
    return tabs, picture, refusal, video, preview


def _sides() -> tuple[Menu, Menu, Switch]:
    """What is compared. Folded away: who comes for the first time needs none of it."""
    with gr.Accordion(text.SIDES, open=False, elem_id="sides"):
        with gr.Row(elem_id="menus"):
            left = Menu(
                [(text.BASELINE, sides.EVERY), *sides.methods()],
                value=sides.EVERY,
                label=text.LEFT,
                filterable=False,
                min_width=140,
                elem_id="left",
            )
            right = Menu(
                sides.methods(),
                value=sides.FIRST,
                label=text.RIGHT,
                filterable=False,
                min_width=140,
                elem_id="right",
            )
        convention = Switch(
            list(sides.CONVENTIONS.items()),
            value="cut",
            label=text.CONVENTION,
            elem_id="convention",
        )
        _html("sides-note", f"<p>{escape(text.SIDES_NOTE)}</p>")
    return left, right, convention


def _showing() -> Showing:
    token_map = TokenMap(elem_id="token-map")
    with gr.Row(elem_id="answers"):
        baseline = _answer_box(text.BASELINE, "baseline")
        pruned = _answer_box(text.KEPT_BY.format(sides.called(PRUNERS[sides.FIRST])), "pruned")
    measured, kept = _html("timings"), KeptTokens(elem_id="kept")
    share = ShareBar(elem_id="share")
    sweep = gr.Button(text.SWEEP, elem_id="sweep")
    swept, download = _html("swept"), Download(elem_id="download")
    return Showing(token_map, baseline, pruned, measured, kept, share, sweep, swept, download)


def _html(elem_id: str, value: str = "") -> gr.HTML:
    # gradio's default styles are meant for prose and draw frames around tables
    return gr.HTML(value, elem_id=elem_id, apply_default_css=False)


def _answer_box(label: str, elem_id: str) -> gr.Textbox:
    with gr.Column(min_width=240):  # a column each, or gradio draws both as one form
        return gr.Textbox(
            label=label,
            placeholder=text.ANSWER_HINT,
            lines=4,  # as many as max_lines: the style sheet lets it grow, at no cost per word
            max_lines=4,
            interactive=False,
            buttons=["copy"],
            elem_id=elem_id,
        )
