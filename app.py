"""The web demo: `python app.py [--model ID-or-folder] [--device D]`. Also a Space's entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from typing import TYPE_CHECKING, Any

# First: on ZeroGPU Spaces it prepares CUDA before torch is imported.
spaces: Any = import_module("spaces") if find_spec("spaces") else None

from iwp import flags  # noqa: E402
from iwp.engine import Engine  # noqa: E402
from iwp.errors import DeadlineError, IWPError  # noqa: E402
from iwp.parser import Parser  # noqa: E402
from iwp.settings import Settings, ask_no_proxy_for_loopback, check_port  # noqa: E402

try:
    check_port()  # gradio reads it while it is imported
except IWPError as error:
    print(f"app.py: {error}", file=sys.stderr)
    sys.exit(2)

from iwp.ui import build_demo, launch_options  # noqa: E402
from iwp.ui.forked import ForkedEngine  # noqa: E402

if TYPE_CHECKING:
    import gradio as gr

    from iwp.ui.backend import Backend

LONGEST_LOAN_S = 120  # a GPU is lent to one comparison for at most this long


def main(argv: Sequence[str] | None = None) -> int:
    """Load the model and serve the page until interrupted.

    The address follows GRADIO_SERVER_NAME and GRADIO_SERVER_PORT; 127.0.0.1:7860 otherwise.

    Returns:
        The exit code: 2 when the model, the device, a setting or the address cannot be used.
    """
    try:
        settings = _settings(argv)
        _serve(build_demo(_engine(settings), settings))
    except IWPError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    return 0


def _engine(settings: Settings) -> Backend:
    """The engine for this host, warmed up where it has its device already."""
    zero = spaces is not None and spaces.config.Config.zero_gpu
    # A CUDA graph belongs to a device that stays.
    engine = Engine.load(replace(settings, fast_decode=False) if zero else settings)
    if zero:
        # No device yet to warm up: it is lent for each comparison.
        seconds = ceil(min(LONGEST_LOAN_S, settings.deadline_s))
        return ForkedEngine(engine, spaces.GPU(duration=seconds))
    try:
        engine.warm_up()
    except DeadlineError as error:  # the limit may be meant for smaller pictures or questions
        print(f"app.py: The warm-up was cut short. {error}", file=sys.stderr)
    return engine


def _serve(demo: gr.Blocks) -> None:
    """Serve the page until interrupted.

    Raises:
        IWPError: at this address it cannot be served.
    """
    ask_no_proxy_for_loopback()  # at the start gradio asks its own page for a sign of life
    try:
        demo.launch(**launch_options())
    except (OSError, OverflowError) as error:
        raise IWPError(
            "The page cannot be served. Check the environment's GRADIO_SERVER_NAME and "
            f"GRADIO_SERVER_PORT: {error}"
        ) from error


def _settings(argv: Sequence[str] | None) -> Settings:
    """The environment's settings, overridden by the command line."""
    parser = Parser(prog="app.py", description="Serve the IWP web demo.")
    flags.add(parser)
    return flags.chosen(parser.parse_args(argv), Settings.from_env())


if __name__ == "__main__":
    sys.exit(main())
