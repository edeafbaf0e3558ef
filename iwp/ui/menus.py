"""Fields that hand over whatever was sent, so that the server's own check words the refusal.

The stock components refuse what is not on their list with a sentence about their list. There is no
`__init__`: gradio reads the browser's properties from the signature of the class's own.
"""

from __future__ import annotations

from typing import Any

import gradio as gr


class Menu(gr.Dropdown):
    """A choice of one, unfolded when it is asked for."""

    def get_block_name(self) -> str:
        """Name of the front end's component."""
        return "dropdown"

    def preprocess(self, payload: Any) -> Any:
        """The value as it came."""
        return payload


class Switch(gr.Radio):
    """A choice of one, all in view."""

    def get_block_name(self) -> str:
        """Name of the front end's component."""
        return "radio"

    def preprocess(self, payload: Any) -> Any:
        """The value as it came."""
        return payload


class Amount(gr.Number):
    """A number; an empty field is None."""

    def get_block_name(self) -> str:
        """Name of the front end's component."""
        return "number"

    def preprocess(self, payload: Any) -> Any:
        """The value as it came."""
        return payload
