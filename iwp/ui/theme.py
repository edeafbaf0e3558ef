"""How the page looks and is served. System fonts only: the page contacts no other host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import gradio as gr

from iwp.ui.upload import LARGEST

_CSS: Final = [Path(__file__).with_name(f"{name}.css") for name in ("page", "outcome", "sweep")]


class SystemFont(gr.themes.Font):
    """A font keyword such as system-ui, which CSS understands only without quotes."""

    def __str__(self) -> str:
        return str(self.name)


def theme() -> gr.themes.Base:
    """Quiet slate surfaces, one indigo accent, in light and dark."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=[SystemFont("system-ui"), SystemFont("sans-serif")],
        font_mono=[SystemFont("ui-monospace"), SystemFont("monospace")],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_300",
        block_title_text_weight="600",
        block_shadow="none",
        input_border_width="1px",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        color_accent="*primary_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_large_text_weight="600",
    )


def launch_options() -> dict[str, Any]:
    """Keyword arguments for `demo.launch()`.

    The address is left out: Gradio reads GRADIO_SERVER_NAME and GRADIO_SERVER_PORT and otherwise
    serves 127.0.0.1 from port 7860 up.
    """
    return {
        "theme": theme(),
        "css_paths": _CSS,
        "footer_links": ["api", "settings"],
        "max_file_size": LARGEST,
        "run_history": False,
        "show_error": False,
        "ssr_mode": False,
        "state_session_capacity": 200,
        "strict_cors": True,
    }
