"""Decoding in caches of fixed size: the tokens of stock decoding, in steps that can be replayed."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from iwp import generate, graphs, one_row, slots, steps
from iwp.adapters import ADAPTERS, load
from iwp.media import open_picture
from iwp.picking import picker
from iwp.pruners import IWP, VTW, Pruner, PyramidDrop, Random
from iwp.types import Decoding
from tests import tiny
from tests.families import FAMILIES
from tests.neighbours import Neighbours
from tests.prompts import model
from tests.replaying import Tape, Taped

STEPS = 8
NEAR = 1e-4
METHODS: dict[str, Pruner | None] = {
    "every token": None,
    "one cut": IWP(budget=0.2, layer=2),
    "from the start": Random(budget=0.3, layer=0),
    "three cuts": PyramidDrop(budget=0.5, layer=1, later=(2, 4)),
    "nothing left": VTW(layer=3),
    "merged": Neighbours(layer=2),
}


@cache
def inputs_of(family: str) -> dict[str, Any]:
    adapter = ADAPTERS[family](model(family), FAMILIES[family].processor())
    ready = adapter.prepare(open_picture(tiny.picture()), "What is it?")
    return dict(adapter.inputs(ready, adapter.encode(ready)))


def start(family: str = "llava_onevision", method: str = "one cut", kernel: str = "sdpa") -> Any:
    """A model and what it has read, in the same state every time."""
    network = model(family, kernel)
    return network, generate.prefill(network, **inputs_of(family), pruner=METHODS[method])


def answer(network: Any, state: Any, fast: bool, pick: Any = None) -> tuple[list[int], Any]:
    """Tokens, and the logits that each was picked by."""
    seen: list[Tensor] = []

    def noting(logits: Tensor) -> int:
        seen.append(logits.clone())
        return int(logits.argmax()) if pick is None else pick(logits)

    tokens = list(generate.decode(network, state, STEPS, (), noting, fast))
    return tokens, torch.stack(seen)


@pytest.fixture(autouse=True)
def _no_fallback() -> Iterator[None]:
    """What does not work as planned is an error here, unless a test asks for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def agree(*which: str) -> None:
    network, state = start(*which)
    tokens, logits = answer(network, state, fast=False)
    network, state = start(*which)
    lengths = [layer.get_seq_length() for layer in state.cache.layers]
    fast_tokens, fast_logits = answer(network, state, fast=True)
    assert fast_tokens == tokens
    assert (fast_logits - logits).abs().max() < NEAR
    assert [layer.get_max_length() for layer in state.cache.layers] == [
        length + STEPS - 1 for length in lengths
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_recorded_step_writes_the_same_tokens(
    monkeypatch: pytest.MonkeyPatch, family: str, method: str
) -> None:
    """Nothing that changes from token to token lies on the host."""
    monkeypatch.setattr(graphs, "Recorded", Taped)
    agree(family, method)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_without_a_recording_writes_the_same_tokens(family: str) -> None:
    agree(family, "three cuts")


@pytest.mark.parametrize("method", ["one cut", "merged"])
def test_whatever_the_kernel_was(method: str) -> None:
    agree("llava_onevision", method, "eager")


def test_the_embedded_model() -> None:
    vlm = load("demo", device="cpu")
    ready = vlm.adapter.prepare(open_picture(tiny.picture(392, 392)), "What is it?")
    inputs = vlm.adapter.inputs(ready, vlm.adapter.encode(ready))
    for pruner in (None, IWP(0.111)):
        states = [generate.prefill(vlm.model, **inputs, pruner=pruner) for _ in range(2)]
        stock, fast = (answer(vlm.model, s, f) for s, f in zip(states, (False, True), strict=True))
        assert stock[0] == fast[0]
        assert (stock[1] - fast[1]).abs().max() < NEAR


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_asks_the_device_for_nothing(family: str) -> None:
    network, state = start(family)
    fixed = steps.Fixed(network, state.cache, state.next_position, state.biases, STEPS)
    tapes = [Tape(), Tape()]
    for number, tape in enumerate(tapes):
        fixed._token.fill_(number)
        with tape:
            fixed._read()
    assert tapes[0].names == tapes[1].names
    waits = {"_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "lift_fresh"}
    assert not [name for name in tapes[0].names if waits & set(name.split("."))]


def test_drawn_tokens_are_the_same() -> None:
    hot = Decoding(STEPS, temperature=1.5, seed=3)
    one = answer(*start(), fast=False, pick=picker(hot))[0]
    other = answer(*start(), fast=True, pick=picker(hot))[0]
    assert one == other
    assert one != answer(*start(), fast=True)[0]


def test_nothing_is_made_before_a_second_token_is_asked_for() -> None:
    network, state = start()
    tokens = generate.decode(network, state, STEPS, (), fast=True)
    next(tokens)
    assert all(type(layer).__name__ == "DynamicLayer" for layer in state.cache.layers)
    next(tokens)
    assert all(isinstance(layer, slots.Slots) for layer in state.cache.layers)
    single = start()[1]
    assert len(list(generate.decode(network, single, 1, (), fast=True))) == 1
    assert slots.fits(single.cache)


def test_one_layer_after_another_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both forms of the whole cache are never there at once."""
    _, state = start()
    old = [weakref.ref(layer.keys) for layer in state.cache.layers]
    alive: list[int] = []
    make = slots._with_room

    def counting(table: Tensor, room: int) -> Tensor:
        alive.append(sum(one() is not None for one in old))
        return make(table, room)

    monkeypatch.setattr(slots, "_with_room", counting)
    slots.put_in(state.cache, 4)
    assert alive[::2] == list(range(tiny.LAYERS, 0, -1))
    assert sum(one() is not None for one in old) == 0


# --- where it does not work ---------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 1, 4])
def test_a_step_that_fails_is_done_the_stock_way(
    monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    expected = answer(*start(), fast=False)[0]
    calls = iter(range(100))
    attend = one_row.attention

    def failing(*given: Any) -> Tensor:
        if next(calls) == step * tiny.LAYERS + 3:  # in the middle: some layers have the token
            raise torch.OutOfMemoryError("no memory")
        return attend(*given)

    monkeypatch.setattr(one_row, "attention", failing)
    network, state = start()
    with pytest.warns(RuntimeWarning, match="OutOfMemoryError: no memory"):
        assert answer(network, state, fast=True)[0] == expected
    assert slots.fits(state.cache)
    assert network.get_decoder().config._attn_implementation == "sdpa"


def test_slots_that_cannot_be_made_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answer(*start(), fast=False)[0]
    make, calls = slots._with_room, iter(range(100))

    def failing(table: Tensor, room: int) -> Tensor:
        if next(calls) == 5:
            raise torch.OutOfMemoryError("no memory")
        return make(table, room)

    monkeypatch.setattr(slots, "_with_room", failing)
    with pytest.warns(RuntimeWarning, match="without fixed caches"):
        assert answer(*start(), fast=True)[0] == expected


def test_stock_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    network, state = start()

    def failing(*_: Any, **__: Any) -> Tensor:
        raise ValueError("broken")

    monkeypatch.setattr(steps, "read", failing)
    with (
        pytest.warns(RuntimeWarning, match="ValueError: broken"),
        pytest.raises(ValueError, match="broken"),
    ):
        answer(network, state, fast=True)


def test_what_does_not_fit_goes_on_as_usual() -> None:
    network, state = start()
    assert steps.fit(network, state.cache)
    given = state.next_position, state.biases, STEPS
    stock = [(None, state.cache), (False, state.cache)]
    sliding = DynamicCache()
    sliding.layers = [type("Sliding", (slots.DynamicLayer,), {})()]
    two = DynamicCache()
    two.update(torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 4), 0)
    stock += [(True, sliding), (True, two)]
    for fast, read in stock:
        assert isinstance(steps.onward(network, read, *given, fast), steps.Growing)
    with steps.alone(network):
        handle = network.get_decoder().layers[1].register_forward_hook(lambda *_: None)
        assert not steps.fit(network, state.cache)
        handle.remove()
    network.is_quantized = True
    assert not steps.fit(network, state.cache)
    del network.is_quantized
    rotary = network.get_decoder().rotary_emb
    for kind, fits in (("dynamic", False), ("longrope", False), (rotary.rope_type, True)):
        rotary.rope_type = kind
        assert steps.fit(network, state.cache) is fits
    attention = network.get_decoder().layers[1].self_attn
    attention.config = replace_config(attention.config)
    assert not steps.fit(network, state.cache)
    attention.config = network.get_decoder().config
    assert isinstance(steps.onward(network, state.cache, *given, True), steps.Fast)


def replace_config(config: Any) -> Any:
    return type(config)(**config.to_dict())


def test_capped_scores_are_left_to_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    network, state = start(kernel="eager")
    expected = answer(network, state, fast=False)[0]
    network, state = start(kernel="eager")
    attention = network.get_decoder().layers[0].self_attn
    monkeypatch.setattr(attention, "forward", partial(attention.forward, softcap=30.0))
    with pytest.warns(RuntimeWarning, match="NotImplementedError"):
        assert answer(network, state, fast=True)[0] == expected
