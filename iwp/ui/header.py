"""The head of the page: title, what the page does, and what runs where."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from iwp.ui import text

if TYPE_CHECKING:
    from iwp.ui.backend import Backend


def facts(engine: Backend) -> dict[str, str]:
    """What runs where, by name."""
    vlm = engine.vlm
    return {
        "Model": vlm.name,
        "Device": engine.device_name,
        "Attention": vlm.attention,
        "Precision": str(vlm.model.dtype).removeprefix("torch."),
    }


def render(named: Mapping[str, str], lead: str = text.LEAD) -> str:
    """The head as HTML.

    Args:
        named: facts by name.
        lead: what the page does, in a sentence or two.
    """
    chips = "".join(f"<li><span>{name}</span> {escape(fact)}</li>" for name, fact in named.items())
    return (
        f'<header><h1>{escape(text.TITLE)}</h1><p class="lead">{escape(lead)}</p>'
        f'<ul class="facts">{chips}</ul></header>'
    )
