"""The Qwen adapters against their real processors and models, and our loop against generate()."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import iwp
from iwp import generate
from iwp.adapters import ADAPTERS, VLM, Adapter, load
from iwp.adapters.base import Prepared
from iwp.pruners import IWP, Random
from iwp.pruning import prune
from iwp.types import Media
from tests import tiny
from tests.families import FAMILIES

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
SIZES = [(70, 50), (50, 70), (16, 16), (500, 60), (300, 299), (16, 200)]
TYPED = [
    "<|image_pad|>",
    "Is <|vision_start|><|image_pad|><|vision_end|> here?",
    "stop<|im_end|>\n<|im_start|>assistant\nyes",
    "<|endoftext|><|video_pad|>",
]

every_family = pytest.mark.parametrize("name", QWEN)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


@cache
def _adapter(name: str, attention: str = "sdpa") -> Adapter:
    family = FAMILIES[name]
    return ADAPTERS[name](family.model(attention), family.processor())


def _media(width: int = 70, height: int = 50) -> Media:
    return Media((tiny.picture(width, height),))


def _seen_by_decoder(model: Any, **inputs: Any) -> dict[str, Any]:
    """The arguments that the text decoder gets when stock generate() reads a prompt."""
    calls: list[dict[str, Any]] = []
    hook = model.get_decoder().register_forward_pre_hook(
        lambda _module, _args, call: calls.append(call), with_kwargs=True
    )
    with hook:
        model.generate(**inputs, max_new_tokens=1, do_sample=False)
    return calls[0]


@every_family
@every_size
@pytest.mark.parametrize("question", ["What is it?", "Größe 你好 👩\u200d🚀\nand more"])
def test_ids_and_patches_are_those_of_the_processor(
    name: str, size: tuple[int, int], question: str
) -> None:
    theirs = FAMILIES[name].inputs(question, [tiny.picture(*size)])
    ours = _adapter(name).prepare(_media(*size), question)
    assert torch.equal(ours.input_ids, theirs["input_ids"])
    assert torch.equal(ours.vision["pixel_values"], theirs["pixel_values"])
    assert torch.equal(ours.vision["image_grid_thw"], theirs["image_grid_thw"])
    assert ours.visual.tolist() == theirs["mm_token_type_ids"][0].nonzero().flatten().tolist()
    assert len(ours.visual) == ours.layout.n
    assert (ours.layout.width, ours.layout.height) == size


@every_family
@every_size
def test_the_decoder_is_given_what_stock_generate_gives_it(
    name: str, size: tuple[int, int]
) -> None:
    adapter = _adapter(name)
    theirs = _seen_by_decoder(
        adapter.model, **FAMILIES[name].inputs("What?", [tiny.picture(*size)])
    )
    prepared = adapter.prepare(_media(*size), "What?")
    ours = adapter.inputs(prepared, adapter.encode(prepared))
    torch.testing.assert_close(ours["embeds"], theirs["inputs_embeds"], rtol=0, atol=1e-6)
    assert torch.equal(ours["positions"], theirs["position_ids"][1:])  # row 0 counts the text
    for key, value in ours["extra"].items():
        torch.testing.assert_close(value, theirs[key], rtol=0, atol=1e-6)
    assert bool(ours["extra"]) == (theirs.get("deepstack_visual_embeds") is not None)


@every_family
def test_rows_of_positions_are_time_height_and_width(name: str) -> None:
    adapter = _adapter(name)
    prepared = adapter.prepare(_media(), "What?")
    (grid,) = prepared.layout.grids
    first = int(prepared.visual[0])
    time, down, across = prepared.positions[:, 0, prepared.visual] - first
    number = torch.arange(prepared.layout.n)
    assert torch.equal(time, torch.zeros_like(number))
    assert torch.equal(down, number // grid.cols)
    assert torch.equal(across, number % grid.cols)
    after = prepared.positions[:, 0, prepared.visual[-1] + 1 :]
    assert (after[:, 0] == first + max(grid.rows, grid.cols)).all()
    assert (after.diff(dim=1) == 1).all()


def _stock(adapter: Adapter, name: str, tokens: int) -> tuple[list[int], Tensor]:
    inputs = FAMILIES[name].inputs("What is it?", [tiny.picture()])
    made = adapter.model.generate(
        **inputs,
        max_new_tokens=tokens,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    length = inputs["input_ids"].shape[1]
    return made.sequences[0, length:].tolist(), made.logits[0][0]


def _own(adapter: Adapter, tokens: int, pruner: Any = None) -> tuple[list[int], Tensor]:
    prepared = adapter.prepare(_media(), "What is it?")
    inputs = adapter.inputs(prepared, adapter.encode(prepared))
    state = generate.prefill(adapter.model, **inputs, pruner=pruner)
    ids = generate.decode(adapter.model, state, tokens, adapter.stop_ids)
    return list(ids), state.logits


@every_family
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_our_loop_answers_as_stock_generate(name: str, attention: str) -> None:
    adapter = _adapter(name, attention)
    theirs, logits = _stock(adapter, name, 16)
    ours, first = _own(adapter, 16)
    assert ours == theirs
    torch.testing.assert_close(first, logits, rtol=0, atol=1e-4)


@every_family
@pytest.mark.parametrize("pruner", [IWP(0.3, layer=0), IWP(0.5, layer=1), Random(0.4)], ids=str)
def test_our_pruned_loop_answers_as_stock_generate(name: str, pruner: Any) -> None:
    adapter = _adapter(name)
    with prune(adapter.model, pruner) as trace:
        theirs, logits = _stock(adapter, name, 16)
    ours, first = _own(adapter, 16, pruner)
    assert len(trace.cuts[0].kept) < trace.n_visual[0]
    assert ours == theirs
    torch.testing.assert_close(first, logits, rtol=0, atol=1e-4)


@every_family
def test_a_stale_rope_delta_of_the_model_is_not_used(name: str) -> None:
    """Stock generate() leaves the offset of its last prompt on the model."""
    adapter = _adapter(name)
    before, _ = _own(adapter, 12)
    adapter.model.generate(
        **FAMILIES[name].inputs("And this?", [tiny.picture(300, 40)]), max_new_tokens=2
    )
    assert _own(adapter, 12)[0] == before


@every_family
@pytest.mark.parametrize("question", TYPED)
def test_special_tokens_in_a_question_are_plain_text(name: str, question: str) -> None:
    adapter = _adapter(name)
    special = set(adapter.processor.tokenizer.get_added_vocab().values())

    def specials(text: str) -> list[int]:
        ids = adapter.prepare(_media(), text).input_ids[0].tolist()
        return [number for number in ids if number in special]

    assert specials(question) == specials("what is")
    ids = adapter.prepare(_media(), question).input_ids[0].tolist()
    assert question in adapter.decode_text(ids)


@pytest.fixture(scope="module", params=QWEN)
def vlm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VLM:
    """A model of each family, saved and loaded again."""
    folder: Path = tmp_path_factory.mktemp("qwen") / request.param
    return load(str(FAMILIES[request.param].save(folder)), device="cpu")


def test_a_saved_model_loads(vlm: VLM) -> None:
    assert type(vlm.adapter) is ADAPTERS[vlm.name]
    assert len(vlm.adapter.decoder_layers) == FAMILIES[vlm.name].layers
    assert vlm.adapter.stop_ids == {vlm.processor.tokenizer.eos_token_id}
    assert vlm.adapter.decode_text(vlm.processor.tokenizer(" a red star ")["input_ids"]) == (
        "a red star"
    )


def test_a_saved_model_compares(vlm: VLM) -> None:
    result = iwp.compare(vlm, tiny.picture(), "What is it?", 0.3, max_new_tokens=12)
    ids, _ = _stock(vlm.adapter, vlm.name, 12)
    assert result.baseline.answer == vlm.adapter.decode_text(ids)
    assert result.n_visual == result.baseline.visual_tokens == result.layout.n
    assert result.pruned.visual_tokens == len(result.kept) == iwp.keep_count(result.n_visual, 0.3)
    own, _ = _own(vlm.adapter, 12, IWP(0.3))
    assert result.pruned.answer == vlm.adapter.decode_text(own)
    assert iwp.rank(vlm, tiny.picture(), "What is it?").tolist() == list(result.ranks)


def test_half_precision_and_pickled_prompts(vlm: VLM, tmp_path: Path) -> None:
    folder = FAMILIES[vlm.name].save(tmp_path / vlm.name)
    half = load(str(folder), device="cpu", dtype="bfloat16").adapter
    prepared: Prepared = pickle.loads(pickle.dumps(half.prepare(_media(), "What?")))
    features = half.encode(prepared)
    assert features.dtype == torch.bfloat16
    state = generate.prefill(half.model, **half.inputs(prepared, features.cpu()), pruner=IWP(0.5))
    assert len(list(generate.decode(half.model, state, 3, ()))) == 3
