"""The web page. Gets its engine from outside; importing it starts nothing."""

from __future__ import annotations

from iwp.ui.layout import build_demo
from iwp.ui.theme import launch_options

__all__ = ["build_demo", "launch_options"]
