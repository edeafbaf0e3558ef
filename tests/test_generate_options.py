"""Stock generate() with its options: each equals the same call with the dropped keys hidden."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import (
    DynamicCache,
    MaxLengthCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
)

from iwp.errors import IWPError
from iwp.pruners import IWP, Random, Uniform
from iwp.pruning import prune
from iwp.support import cache_argument
from tests import tiny
from tests.families import FAMILIES
from tests.hiding import NEAR, agree, dropped_columns, hiding, visual_columns
from tests.prompts import TALL, WIDE, batch, model, written

FAMILY = FAMILIES["llava_onevision"]
ONE = ((WIDE, "What is it?"),)
TWO = ((WIDE, "What is it?"), (TALL, "How tall is this one?"))
OPTIONS: dict[str, dict[str, Any]] = {
    "sampling": {"do_sample": True, "temperature": 1.5, "top_p": 0.9},
    "beams": {"num_beams": 3},
    "several_answers": {"do_sample": True, "num_return_sequences": 2},
    "beams_and_answers": {"num_beams": 3, "num_return_sequences": 2},
    "sampled_beams": {"num_beams": 2, "do_sample": True},
    "penalties": {"repetition_penalty": 1.5, "no_repeat_ngram_size": 1},
    "no_cache": {"use_cache": False},
    "hidden_states": {"output_hidden_states": True, "output_scores": True},
}


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options(options: dict[str, Any], layer: int) -> None:
    # Without a cache every step ranks again, and IWP asks what was written as well.
    method = Uniform if options.get("use_cache") is False else IWP
    agree(model("llava_onevision"), batch(FAMILY, *TWO), method(budget=0.2, layer=layer), **options)


def test_beams_of_a_deepstack_model_on_eager_attention() -> None:
    network, inputs = model("qwen3_vl", "eager"), batch(FAMILIES["qwen3_vl"], *TWO)
    trace = agree(network, inputs, IWP(budget=0.3, layer=1), num_beams=2)
    # Beams of one prompt are one prompt.
    for first, second in ((0, 1), (2, 3)):
        assert torch.equal(trace.cuts[first].kept, trace.cuts[second].kept)
        assert trace.cuts[second].seconds == 0.0


@pytest.mark.parametrize("layer", [0, 2])
def test_guessed_tokens_are_taken_back(layer: int) -> None:
    options = {"prompt_lookup_num_tokens": 3, "max_new_tokens": 8}
    agree(
        model("llava_onevision"), batch(FAMILY, *ONE), Uniform(budget=0.2, layer=layer), **options
    )


def test_streamers_and_stopping_criteria() -> None:
    network, inputs = model("llava_onevision"), batch(FAMILY, *ONE)
    tokenizer = tiny.tokenizer()
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    lengths: list[int] = []

    class Count(StoppingCriteria):
        def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
            lengths.append(ids.shape[1])
            return torch.full((1,), False)

    start = inputs["input_ids"].shape[1]
    criteria = StoppingCriteriaList([Count(), MaxLengthCriteria(start + 3)])
    with prune(network, IWP(budget=0.2, layer=2)):
        tokens, _ = written(
            network, inputs, max_new_tokens=9, streamer=streamer, stopping_criteria=criteria
        )
    assert lengths == [start + 1, start + 2, start + 3]
    assert "".join(streamer) == tokenizer.decode(tokens[0])


# --- caches --------------------------------------------------------------------------------


def test_a_quantised_cache_is_as_near_as_without_a_cut() -> None:
    quantised = {"cache_implementation": "quantized", "cache_config": {"backend": "fp8"}}
    network, inputs = model("llava_onevision"), batch(FAMILY, *ONE)
    try:
        _, noisy = written(network, inputs, **quantised)
    except (ImportError, ValueError):
        pytest.skip("this transformers has no float8 cache")
    _, exact = written(network, inputs)
    with prune(network, IWP(budget=0.2, layer=2)) as trace:
        _, cut = written(network, inputs, **quantised)
    with hiding(network, dropped_columns(network, inputs["input_ids"], trace), 2):
        _, truth = written(network, inputs)
    assert (cut[:, 0] - truth[:, 0]).abs().max() < NEAR  # the prompt is read unquantised
    assert (cut - truth).abs().max() < 3 * (noisy - exact).abs().max()


def test_refused_before_any_work() -> None:
    network, inputs = model("llava_onevision"), batch(FAMILY, *ONE)
    ran: list[Any] = []
    first = network.get_decoder().layers[0].register_forward_hook(lambda *_: ran.append(1))
    size = inputs["input_ids"].shape[1]
    square = torch.zeros(1, 1, size, size)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("static", {"cache_implementation": "static", "max_new_tokens": 2}),
        ("attention mask", {"attention_mask": square}),
        ("Labels", {"labels": inputs["input_ids"]}),
        ("packed", {"cu_seq_lens_q": torch.tensor([0, size])}),
    ]
    for message, more in cases:
        run = network.generate if "cache_implementation" in more else network
        with pytest.raises(IWPError, match=message), prune(network, IWP(layer=2)):
            run(**{**inputs, **more})
    first.remove()
    assert not ran


def test_compiled_models_are_refused() -> None:
    network = copy.deepcopy(model("llava_onevision"))
    network.model.vision_tower.compile(backend="eager")  # none of our business
    with prune(network, IWP()):
        pass
    wrapped = torch.compile(network, backend="eager")
    with pytest.raises(IWPError, match=r"torch\.compile"), prune(wrapped, IWP()):
        pass
    network.forward = torch.compile(network.forward, backend="eager")
    with pytest.raises(IWPError, match=r"torch\.compile"), prune(network, IWP()):
        pass
    del network.forward
    network.get_decoder().layers[5].compile(backend="eager")
    with pytest.raises(IWPError, match=r"torch\.compile"), prune(network, IWP()):
        pass


def test_unknown_kernels_are_refused() -> None:
    network = copy.deepcopy(model("llava_onevision"))
    network.get_decoder().config._attn_implementation = "flex_attention"
    with pytest.raises(IWPError, match="flex_attention"), prune(network, IWP()):
        pass


# --- several turns with one cache ------------------------------------------------------------


def told(network: Any, inputs: dict[str, Any], cache: Any, **more: Any) -> Any:
    return network.generate(
        **inputs,
        **cache_argument(network, cache),
        max_new_tokens=3,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
        **more,
    )


def longer(out: Any, inputs: dict[str, Any], words: str) -> dict[str, Any]:
    """The next turn: what was said so far, and new words."""
    new = tiny.tokenizer()(words, return_tensors="pt")["input_ids"]
    new = new.expand(out.sequences.shape[0], -1)
    ids = torch.cat((out.sequences, new), dim=1)
    seen = torch.ones_like(ids)
    seen[:, : inputs["attention_mask"].shape[1]] = inputs["attention_mask"]
    return {"input_ids": ids, "attention_mask": seen}


@pytest.mark.parametrize("prompts", [ONE, TWO], ids=["one", "batch"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl"])
def test_a_second_question(prompts: Any, attention: str, family: str) -> None:
    network, inputs, layer = model(family, attention), batch(FAMILIES[family], *prompts), 2

    def both_turns() -> Any:
        cache = DynamicCache(config=network.config)
        first = told(network, inputs, cache)
        return told(network, longer(first, inputs, " And then?"), cache)

    with prune(network, IWP(budget=0.2, layer=layer)) as trace:
        cut = both_turns()
    with hiding(network, dropped_columns(network, inputs["input_ids"], trace), layer):
        truth = both_turns()
    assert len(trace.cuts) == len(prompts)
    assert torch.equal(cut.sequences, truth.sequences)
    assert all((a - b).abs().max() < NEAR for a, b in zip(cut.logits, truth.logits, strict=True))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("words", [True, False], ids=["after_words", "after_a_picture"])
def test_another_picture_into_the_same_cache(words: bool, attention: str) -> None:
    network = model("llava_onevision", attention)
    first = dict(tiny.tokenizer()("Only words", return_tensors="pt"))
    if not words:
        first = batch(FAMILY, *ONE)
    shown = batch(FAMILY, (TALL, "And this?"))

    def both_turns() -> Any:
        cache = DynamicCache(config=network.config)
        said = told(network, first, cache)
        ids = torch.cat((said.sequences, shown["input_ids"]), dim=1)
        more = {name: shown[name] for name in ("pixel_values", "image_sizes")}
        turn = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **more}
        return ids, told(network, turn, cache)

    with prune(network, IWP(budget=0.3, layer=2)) as trace:
        ids, cut = both_turns()
    kept = numbered_through(trace)
    (visual,) = visual_columns(network, ids)
    dropped = visual[~torch.isin(torch.arange(len(visual)), kept)]
    with hiding(network, [dropped], 2):
        _, truth = both_turns()
    assert len(trace.cuts) == (1 if words else 2)
    assert torch.equal(cut.sequences, truth.sequences)
    assert all((a - b).abs().max() < NEAR for a, b in zip(cut.logits, truth.logits, strict=True))


def numbered_through(trace: Any) -> torch.Tensor:
    """The kept tokens of all cuts, numbered through the pictures of the conversation."""
    start, numbers = 0, []
    for cut, n in zip(trace.cuts, [n for n in trace.n_visual if n], strict=True):
        numbers.append(cut.kept + start)
        start += n
    return torch.cat(numbers)


def test_after_a_cut_before_layer_0_new_tokens_go_alone() -> None:
    network, inputs = model("llava_onevision"), batch(FAMILY, *ONE)

    def both_turns(alone: bool) -> Any:
        cache = DynamicCache(config=network.config)
        first = told(network, inputs, cache)
        turn = longer(first, inputs, " And then?")
        if alone:
            # The last token of an answer has not been read yet.
            read = first.sequences.shape[1] - 1
            turn["input_ids"] = turn["input_ids"][:, read:]
        return told(network, turn, cache)

    pruner = Random(budget=0.2, layer=0)
    with prune(network, pruner) as trace:
        cut = both_turns(alone=True)
    with hiding(network, dropped_columns(network, inputs["input_ids"], trace), 0):
        truth = both_turns(alone=True)
    assert torch.equal(cut.sequences, truth.sequences)
    assert all((a - b).abs().max() < NEAR for a, b in zip(cut.logits, truth.logits, strict=True))
    with pytest.raises(IWPError, match="before layer 1"), prune(network, pruner):
        both_turns(alone=False)


def test_an_emptied_cache_starts_anew() -> None:
    network, inputs = model("llava_onevision"), batch(FAMILY, *ONE)
    cache = DynamicCache(config=network.config)
    with prune(network, IWP(budget=0.2, layer=2)) as trace:
        first = told(network, inputs, cache)
        cache.crop(-cache.get_seq_length())
        for layer in cache.layers:  # the later ones are shorter
            layer.keys, layer.values = layer.keys[:, :, :0], layer.values[:, :, :0]
        again = told(network, inputs, cache)
    assert len(trace.cuts) == 2
    assert torch.equal(first.sequences, again.sequences)


def test_a_cache_that_someone_changed_is_refused() -> None:
    network, inputs = model("llava_onevision"), batch(FAMILY, *ONE)
    with prune(network, IWP(budget=0.2, layer=2)):
        cache = DynamicCache(config=network.config)
        first = told(network, inputs, cache)
        cache.crop(-cache.get_seq_length() + 20)
        with pytest.raises(IWPError, match="changed"):
            told(network, longer(first, inputs, " And then?"), cache)
