"""Events that may have nothing to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr

if TYPE_CHECKING:
    from typing import ParamSpec

    P = ParamSpec("P")
Step = TypeVar("Step")


def steady(handler: Callable[P, Iterator[Step]]) -> Callable[P, Iterator[Step | dict[str, Any]]]:
    """A handler that leaves the page as it is when it yields nothing.

    gradio empties all outputs of an event whose generator ends before its first step.
    """

    @wraps(handler)
    def steps(*args: P.args, **kwargs: P.kwargs) -> Iterator[Step | dict[str, Any]]:
        silent = True
        with closing(handler(*args, **kwargs)) as given:  # type: ignore[type-var]
            for step in given:
                silent = False
                yield step
        if silent:
            yield gr.skip()

    return steps
