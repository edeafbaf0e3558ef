"""Where everything stands on the page, and which event calls which handler."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from iwp.ui import text
from iwp.ui.handlers import Handlers
from iwp.ui.token_map import TokenMap
from iwp.ui.upload import PictureUpload

if TYPE_CHECKING:
    from iwp.adapters.base import VLM
    from iwp.engine import Engine
    from iwp.settings import Settings

EXAMPLES: Final = Path(__file__).parents[2] / "assets" / "examples"
MAX_WAITING: Final = 32
_CACHE_SECONDS: Final = (600, 3600)  # look every 10 minutes, drop pictures after an hour

# The budget stands in the widget; Compare reads it there.
_WITH_BUDGET: Final = """(picture, question) => [
    picture, question, document.querySelector("#token-map .token-map").tokenMap.budget(),
]"""


def build_demo(engine: Engine, settings: Settings, examples: Path = EXAMPLES) -> gr.Blocks:
    """The page, ready to launch.

    Args:
        engine: runs the comparisons.
        settings: what the operator chose.
        examples: folder with `examples.json`; without it the page shows no examples.
    """
    with gr.Blocks(
        title=text.TITLE, analytics_enabled=False, delete_cache=_CACHE_SECONDS
    ) as demo:
        gr.HTML(_header(engine.vlm, settings), elem_id="header")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=4, min_width=320):
                picture = PictureUpload(
                    label=text.PICTURE,
                    sources=["upload", "clipboard"],
                    height=260,
                    buttons=[],
                    elem_id="picture",
                )
                question = gr.Textbox(
                    label=text.QUESTION,
                    placeholder=text.QUESTION_HINT,
                    max_lines=4,
                    elem_id="question",
                )
                with gr.Row(elem_id="buttons"):
                    compare = gr.Button(text.COMPARE, variant="primary", elem_id="compare")
                    stop = gr.Button(text.STOP, elem_id="stop", min_width=96, scale=0)
                status = gr.HTML(elem_id="status")
                if rows := _examples(examples):
                    gr.Examples(
                        rows, [picture, question], label=text.EXAMPLES, elem_id="examples"
                    )
            with gr.Column(scale=7, min_width=320):
                token_map = TokenMap(elem_id="token-map")
                with gr.Row(elem_id="answers"):
                    baseline, pruned = (
                        gr.Textbox(
                            label=label,
                            placeholder=text.ANSWER_HINT,
                            lines=2,
                            max_lines=12,
                            interactive=False,
                            buttons=["copy"],
                            min_width=240,
                            elem_id=elem_id,
                        )
                        for label, elem_id in (
                            (text.BASELINE, "baseline"),
                            (text.PRUNED, "pruned"),
                        )
                    )
                timings = gr.HTML(elem_id="timings")
        budget = gr.Number(visible=False)

        handlers = Handlers(engine, settings, token_map.GRADIO_CACHE)
        answers: list[Any] = [baseline, pruned, timings, status]
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        # The engine's lock guards the device; this limit only keeps the queue in order.
        device: dict[str, Any] = {**private, "concurrency_id": "gpu", "concurrency_limit": 1}

        begun = gr.on(
            [compare.click, question.submit],
            handlers.begin,
            [picture, question, budget],
            [token_map, *answers],
            js=_WITH_BUDGET,
            queue=False,
            **private,
        )
        answered = begun.success(handlers.answer, None, [token_map, *answers], **device)
        noted = token_map.release(
            handlers.note, None, None, queue=False, trigger_mode="multiple", **private
        )
        repruned = noted.success(
            handlers.repruned, None, answers, trigger_mode="multiple", **device
        )
        # First let the run end by itself, so that its timings are shown; then leave the queue.
        halted = stop.click(handlers.halt, None, None, queue=False, **private)
        halted.then(None, None, None, cancels=[answered, repruned])
        demo.unload(handlers.forget)
        gr.api(
            handlers.compare, api_name="compare", concurrency_id="gpu", concurrency_limit=1
        )
    demo.queue(max_size=MAX_WAITING, default_concurrency_limit=4)
    return demo


def _header(vlm: VLM, settings: Settings) -> str:
    """Title, what the page does, what runs where, and what the model can do."""
    dtype = str(vlm.model.dtype).removeprefix("torch.")
    facts = {
        "Model": vlm.name,
        "Device": str(vlm.device),
        "Attention": vlm.attention,
        "Precision": dtype,
    }
    chips = "".join(
        f"<li><span>{name}</span> {escape(value)}</li>" for name, value in facts.items()
    )
    about = text.DEMO_MODEL if settings.model == "demo" else text.OTHER_MODEL
    return (
        f'<header><h1>{escape(text.TITLE)}</h1><p class="lead">{escape(text.LEAD)}</p>'
        f'<ul class="facts">{chips}</ul><p class="about">{escape(about)}</p></header>'
    )


def _examples(folder: Path) -> list[list[str]]:
    """Rows of picture file and question."""
    listing = folder / "examples.json"
    if not listing.is_file():
        return []
    entries = json.loads(listing.read_text("utf-8"))
    return [[str(folder / entry["image"]), entry["question"]] for entry in entries]
