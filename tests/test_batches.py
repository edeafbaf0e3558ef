"""Batches: every row is cut as if it were alone, and equals hiding its own dropped keys."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from iwp.budget import keep_count
from iwp.errors import IWPError
from iwp.pruners import IWP, Random, Uniform
from iwp.pruning import prune
from tests import tiny
from tests.families import FAMILIES
from tests.hiding import NEAR, agree
from tests.prompts import SMALL, TALL, WIDE, batch, model, written

MIXED = (("What is it?", WIDE), (TALL, "and", SMALL, "differ how?"), (WIDE, "Name it in one word"))


@pytest.mark.parametrize("layer", [0, 1, 3, 6])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl", "idefics3"])
def test_rows_of_different_lengths(family: str, attention: str, layer: int) -> None:
    network = model(family, attention)
    inputs = batch(FAMILIES[family], *MIXED)
    trace = agree(network, inputs, IWP(budget=0.3, layer=layer, bandwidth="median"))
    assert len(trace.n_visual) == 3
    assert len(set(trace.n_visual)) > 1
    if layer < tiny.LAYERS:
        counts = [keep_count(n, 0.3) for n in trace.n_visual]
        assert [len(cut.kept) for cut in trace.cuts] == counts


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl"])
def test_a_row_is_cut_as_if_it_were_alone(family: str) -> None:
    network, pruner = model(family), IWP(budget=0.2, layer=2)
    with prune(network, pruner) as together:
        _, logits = written(network, batch(FAMILIES[family], *MIXED))
    for row, prompt in enumerate(MIXED):
        with prune(network, pruner) as alone:
            _, single = written(network, batch(FAMILIES[family], prompt))
        assert torch.equal(alone.cuts[0].kept, together.cuts[row].kept)
        assert (single[0] - logits[row]).abs().max() < NEAR


@pytest.mark.parametrize("layer", [0, 2])
def test_a_row_without_a_picture(layer: int) -> None:
    network = model("llava_onevision")
    ready = tiny.processor()
    ready.tokenizer.padding_side = "left"
    texts = ["<|im_start|>user only words, many of them", "<|im_start|>user <image> what?"]
    inputs = dict(ready(text=texts, images=[WIDE], padding=True, return_tensors="pt"))
    trace = agree(network, inputs, Uniform(budget=0.2, layer=layer))
    assert trace.n_visual[0] == len(trace.cuts[0].kept) == 0
    assert trace.n_visual[1] > len(trace.cuts[1].kept) > 0


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_text_that_is_longer_than_the_picture(layer: int, attention: str) -> None:
    # The batch does not get shorter, but the row with the picture gets more filling.
    network, words = model("llava_onevision", attention), "Many words. " * 20
    inputs = batch(FAMILIES["llava_onevision"], (words,), (WIDE, "What is it?"))
    assert bool(inputs["attention_mask"][0].all())
    assert not bool(inputs["attention_mask"][1].all())
    agree(network, inputs, Random(budget=0.2, layer=layer))


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
def test_a_whole_budget_is_the_baseline_bit_for_bit(family: str) -> None:
    network, inputs = model(family), batch(FAMILIES[family], *MIXED)
    tokens, logits = written(network, inputs)
    with prune(network, IWP(budget=1.0, layer=1)) as trace:
        whole_tokens, whole = written(network, inputs)
    assert torch.equal(tokens, whole_tokens)
    assert torch.equal(logits, whole)
    assert [len(cut.kept) for cut in trace.cuts] == trace.n_visual


def test_padding_on_the_right_is_refused() -> None:
    network, ready = model("llava_onevision"), tiny.processor()
    ready.tokenizer.padding_side = "right"
    texts = ["<image> what is this?", "<image> what?"]
    inputs = dict(ready(text=texts, images=[WIDE, WIDE], padding=True, return_tensors="pt"))
    with pytest.raises(IWPError, match="on the left"), prune(network, IWP(layer=2)):
        network(**inputs)


def test_a_batch_of_embeddings_is_told_its_visual_tokens() -> None:
    network, inputs = model("llava_onevision"), batch(FAMILIES["llava_onevision"], *MIXED)
    embeds: list[torch.Tensor] = []

    def note(_: Any, __: Any, call: dict[str, Any]) -> None:
        embeds.append(call["inputs_embeds"])

    handle = network.get_decoder().register_forward_pre_hook(note, with_kwargs=True)
    pruner = IWP(budget=0.3, layer=2)
    with prune(network, pruner) as trace:
        wanted = network(**inputs).logits
    handle.remove()
    told = inputs["input_ids"] == network.config.image_token_id
    given = {"inputs_embeds": embeds[0], "attention_mask": inputs["attention_mask"]}
    with prune(network, pruner, visual=told) as again:
        logits = network(**given).logits
    assert torch.equal(logits, wanted)
    assert again.n_visual == trace.n_visual
    with prune(network, pruner):
        by_ids = network.generate(**inputs, max_new_tokens=3, do_sample=False)
    with prune(network, pruner, visual=told):
        tokens = network.generate(**given, max_new_tokens=3, do_sample=False)
    assert torch.equal(tokens, by_ids[:, -3:])
    with pytest.raises(IWPError, match="by a mask"), prune(network, pruner, visual=torch.arange(5)):
        network(**given)


# --- the fast kernel -----------------------------------------------------------------------


def kernel_calls(network: Any, inputs: dict[str, Any], pruner: Any) -> list[tuple[Any, bool]]:
    """The mask and the causal flag of every call of sdpa that the decoder makes."""
    calls: list[tuple[Any, bool]] = []
    stock = torch.nn.functional.scaled_dot_product_attention

    def note(*args: Any, **more: Any) -> Any:
        calls.append((more.get("attn_mask"), more.get("is_causal", False)))
        return stock(*args, **more)

    def watch(*_: Any) -> None:
        torch.nn.functional.scaled_dot_product_attention = note

    handle = network.get_decoder().register_forward_pre_hook(watch)
    try:
        with prune(network, pruner):
            written(network, inputs, max_new_tokens=2)
    finally:
        handle.remove()
        torch.nn.functional.scaled_dot_product_attention = stock
    return calls


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
def test_without_padding_sdpa_gets_no_mask(family: str, rows: int, layer: int) -> None:
    prompts = [(WIDE, "What is it?"), (tiny.picture(70, 50, seed=5), "What is in?")][:rows]
    network, inputs = model(family), batch(FAMILIES[family], *prompts)
    assert inputs["attention_mask"].all()
    calls = kernel_calls(network, inputs, Random(budget=0.2, layer=layer))
    assert calls == [(None, True)] * tiny.LAYERS + [(None, False)] * tiny.LAYERS


def test_padding_that_a_cut_makes_unnecessary_costs_no_mask() -> None:
    network = model("llava_onevision")
    inputs = batch(FAMILIES["llava_onevision"], (WIDE, "What is it?"))
    pad = network.config.text_config.pad_token_id
    for name, filling in (("input_ids", pad), ("attention_mask", 0)):
        filler = torch.full((1, 5), filling)
        inputs[name] = torch.cat((filler, inputs[name]), dim=1)
    calls = kernel_calls(network, inputs, Uniform(budget=0.2, layer=2))
    assert [mask is None for mask, _ in calls] == ([False] * 2 + [True] * 4) * 2
