"""What the efficiency bench calls a fast token: no stock step, and on a GPU a replayed one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from iwp import adapters, graphs, steps
from iwp.bench import efficiency, prompts, turns

if TYPE_CHECKING:
    from iwp.adapters.base import VLM


@pytest.fixture(scope="module")
def demo() -> VLM:
    return adapters.load("demo", device="cpu")


def failing(*_: Any) -> Any:
    raise RuntimeError("no slots")


@pytest.mark.parametrize(
    ("owner", "name", "instead"),
    [
        (steps, "fit", lambda *_: False),
        (steps, "Fixed", failing),
        (steps.Fixed, "read", failing),
        (steps.Fixed, "replayed", False),  # on a GPU without a graph
    ],
)
@pytest.mark.filterwarnings("ignore:Decoding goes on without fixed caches")
def test_a_stock_token_is_not_called_fast(
    demo: VLM, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, instead: Any
) -> None:
    asked = prompts.made_up(demo, 40)
    assert turns.fast_token_s(demo, asked.read(), None, 4)
    monkeypatch.setattr(owner, name, instead)
    assert turns.fast_token_s(demo, asked.read(), None, 4) is None
    (one,) = turns.measured(demo, asked, [None], new_tokens=4, repeats=1, fast=True)
    result = efficiency.Result(asked, None, one, 1.0)
    assert result.of_limit is None
    row = efficiency.shown(result)
    assert (row["a token, fast, ms"], row["of limit, x"]) == ("-", "-")
    assert row["a token, ms"] != "-"
    assert efficiency.raw(result)["fast_q3_s"] is None


def test_a_graph_must_have_been_recorded() -> None:
    recorded = graphs.Recorded(torch.device("cuda"))
    assert not recorded.whole
    recorded._graph = object()  # type: ignore[assignment]
    assert recorded.whole
    assert graphs.Recorded(torch.device("cpu")).whole
