"""The choice of the model: how it is laid out."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import gradio as gr

from iwp.ui import text
from iwp.ui.menus import Menu

if TYPE_CHECKING:
    from iwp.catalogue import Catalogue
    from iwp.ui.backend import Backend


@dataclass(frozen=True)
class ModelPanel:
    """What chooses the model. Its menu has the models' names as values."""

    catalogue: Catalogue
    menu: Menu
    load: gr.Button
    status: gr.HTML


def panel(catalogue: Catalogue, engine: Backend) -> ModelPanel | None:
    """The menu, a button and a line that says what is going on.

    Returns:
        None where there is nothing to choose: one model only, or a host that cannot change it,
        which a sentence says.
    """
    if len(catalogue.entries) < 2:
        return None
    if not engine.switchable:
        _note(text.NO_SWITCH)
        return None
    menu = Menu(
        [(entry.label, entry.name) for entry in catalogue.entries],
        value=catalogue.name(engine.source),
        label=text.MODEL,
        filterable=False,
        elem_id="model",
    )
    load = gr.Button(text.LOAD_MODEL, size="sm", elem_id="load-model")
    status = gr.HTML("", elem_id="model-status", apply_default_css=False)
    _note(text.MODEL_NOTE)
    return ModelPanel(catalogue, menu, load, status)


def _note(words: str) -> None:
    gr.HTML(f"<p>{escape(words)}</p>", elem_id="model-note", apply_default_css=False)
