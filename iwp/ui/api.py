"""`/compare`: a comparison for other programs, and the one sentence that a refusal is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.data_classes import FileDataDict

from iwp import report
from iwp.budget import USUAL_BUDGET, check_budget
from iwp.errors import IWPError
from iwp.ui import sides, text, upload

if TYPE_CHECKING:
    from iwp.settings import Settings
    from iwp.ui.backend import Backend


def endpoint(engine: Backend, settings: Settings) -> Callable[..., dict[str, Any]]:
    """The function behind `/compare`, for one engine. Gradio shows its docstring to callers."""

    def compare(
        image: FileDataDict,
        question: str,
        budget: float = USUAL_BUDGET,
        method: str = sides.FIRST,
        against: str | None = None,
        convention: str = "cut",
    ) -> dict[str, Any]:
        """Answer a question about a picture or video twice, with what two methods keep of it.

        Args:
            image: the picture (up to 50 MB) or video (up to 200 MB), an uploaded file
                (`gradio_client.handle_file`).
            question: what to ask.
            budget: fraction of the visual tokens to keep, above 0 and at most 1.
            method: name of the method whose answer is `pruned`.
            against: name of the method whose answer is `baseline`; without it that answer is the
                one with every visual token.
            convention: what the budget is a fraction of: "cut", the tokens left after the last
                cut, or "average", the tokens that a layer reads on average.

        Returns:
            Both answers with their timings, the numbers of the kept visual tokens and the rank of
            every one; the object that `python -m iwp run --json` prints.
        """
        with sentences():
            fraction = check_budget(budget)
            chosen = sides.choose(engine.vlm, fraction, against, method, convention)
            path = upload.uploaded_path(image)
            media = upload.opened(path, engine.vlm.adapter, settings.max_pixels)
            run = chosen.start(engine, media, question, fraction)
            try:
                return report.to_json(run.result())
            finally:
                run.stop()

    return compare


@contextmanager
def sentences() -> Iterator[None]:
    """Turn IWP's own errors into the one sentence that page and API show."""
    try:
        yield
    except IWPError as error:
        raise gr.Error(str(error), title=text.ERROR_TITLE, print_exception=False) from error
