"""Decoding as a CUDA graph: the tokens of stock decoding."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from iwp import generate, graphs, slots
from tests.families import FAMILIES
from tests.test_fast_decode import METHODS, answer, inputs_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(autouse=True)
def _no_fallback() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_cuda_graph_writes_the_same_tokens(family: str, method: str) -> None:
    network = FAMILIES[family].model().to("cuda")
    inputs = on_the_gpu(inputs_of(family))
    states = [generate.prefill(network, **inputs, pruner=METHODS[method]) for _ in range(2)]
    assert answer(network, states[1], True)[0] == answer(network, states[0], False)[0]
    assert isinstance(states[1].cache.layers[0], slots.Slots)


def test_without_a_graph_the_steps_are_carried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    network = FAMILIES["llava_onevision"].model().to("cuda")
    inputs = on_the_gpu(inputs_of("llava_onevision"))

    def failing(*_: Any) -> Any:
        raise RuntimeError("not permitted while a stream is capturing")

    states = [generate.prefill(network, **inputs) for _ in range(2)]
    expected = answer(network, states[0], False)[0]
    monkeypatch.setattr(graphs, "_recorded", failing)
    with pytest.warns(RuntimeWarning, match="without a CUDA graph"):
        assert answer(network, states[1], True)[0] == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_cuda_graph_has_the_logits_of_16_bits(dtype: torch.dtype) -> None:
    """Their rounding may choose another token where two are alike: the logits are near."""
    network = FAMILIES["llava_onevision"].model().to("cuda", dtype)
    inputs = on_the_gpu(inputs_of("llava_onevision"))
    inputs["embeds"] = inputs["embeds"].to(dtype)
    states = [generate.prefill(network, **inputs, pruner=METHODS["one cut"]) for _ in range(2)]
    tokens, expected = answer(network, states[0], False)
    given = iter(tokens)
    _, found = answer(network, states[1], True, lambda _: next(given))
    assert (found - expected).norm() < 0.03 * (expected - expected.mean()).norm()


def on_the_gpu(inputs: dict[str, Any]) -> dict[str, Any]:
    moved = {
        name: one.to("cuda") if isinstance(one, Tensor) else one for name, one in inputs.items()
    }
    return {**moved, "extra": {k: to_gpu(v) for k, v in inputs["extra"].items()}}


def to_gpu(value: Any) -> Any:
    return [one.to("cuda") for one in value] if isinstance(value, list) else value.to("cuda")
