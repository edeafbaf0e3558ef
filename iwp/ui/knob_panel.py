"""The panel of settings: how it is laid out. What its values mean stands in `iwp.ui.knobs`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr

from iwp.options import HOTTEST
from iwp.pruners.iwp import CHOICES
from iwp.ui import text
from iwp.ui.knobs import NAMES, OPTIONS, RECOMMENDED
from iwp.ui.menus import Amount, Menu


def panel(usual: Mapping[str, Any], layers: int) -> list[Any]:
    """The fields, in the order of `NAMES`.

    Args:
        usual: what they show at first: see `iwp.ui.knobs.recommended`.
        layers: how many the model's decoder has.
    """
    fields: dict[str, Any] = {}
    with gr.Row(elem_classes="knobs"):
        fields["layer"] = _menu("layer", places(layers), usual["layer"])
        most = usual["max_new_tokens"]
        fields["max_new_tokens"] = _amount("max_new_tokens", most, 1, most, 1)
        fields["temperature"] = _amount("temperature", usual["temperature"], 0, HOTTEST, 0.1)
    gr.HTML(
        f"<p>{escape(text.SETTINGS_NOTE)}</p>", elem_id="settings-note", apply_default_css=False
    )
    with gr.Row(elem_classes="knobs"):
        for name in OPTIONS:
            fields[name] = _option(name, usual[name])
    return [fields[name] for name in NAMES]


def places(layers: int) -> list[Any]:
    """The entries of the layer's menu, for a decoder of so many layers."""
    # A menu: an empty number looks like 0, which is a layer of its own.
    return [(text.RECOMMENDED, RECOMMENDED), *((str(i), i) for i in range(layers))]


def _option(name: str, value: Any) -> Any:
    if name in CHOICES:
        return _menu(name, list(CHOICES[name]), value)
    if isinstance(value, bool):
        return gr.Checkbox(value, label=text.KNOBS[name], min_width=140, elem_id=f"knob-{name}")
    least = 1 if isinstance(value, int) else 0
    return _amount(name, value, least, None, 1 if isinstance(value, int) else 0.01)


def _menu(name: str, choices: list[Any], value: Any) -> Menu:
    return Menu(
        choices,
        value=value,
        label=text.KNOBS[name],
        filterable=False,
        min_width=140,
        elem_id=f"knob-{name}",
    )


def _amount(name: str, value: Any, least: float, most: float | None, step: float) -> Amount:
    return Amount(
        value,
        minimum=least,
        maximum=most,
        step=step,
        label=text.KNOBS[name],
        min_width=140,
        elem_id=f"knob-{name}",
    )
