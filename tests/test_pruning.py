"""The cut: equal to hiding the dropped keys, and without a trace afterwards."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from iwp.budget import keep_count
from iwp.errors import IWPError
from iwp.pruners import IWP, PRUNERS, Random, Uniform
from iwp.pruning import prune
from iwp.support import cache_argument, cache_in
from tests import oracles, tiny
from tests.prompts import made

STEPS = 5
NEAR = 1e-4


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(request: pytest.FixtureRequest) -> Any:
    return tiny.model(attention=request.param)


@pytest.fixture(scope="module")
def prompt() -> dict[str, torch.Tensor]:
    return tiny.inputs()


def visual_rows(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return (inputs["input_ids"][0] == model.config.image_token_id).nonzero().flatten()


def generated(model: Any, inputs: dict[str, torch.Tensor], **more: Any) -> tuple[Any, Any]:
    out = model.generate(
        **inputs,
        max_new_tokens=STEPS,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
        **more,
    )
    tokens = out.sequences[0, inputs["input_ids"].shape[1] :]
    return tokens, torch.cat(out.logits)


def left_padded(inputs: dict[str, torch.Tensor], pad: int, by: int) -> dict[str, torch.Tensor]:
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    return {
        **inputs,
        "input_ids": torch.cat((torch.full((1, by), pad), ids), dim=1),
        "attention_mask": torch.cat((torch.zeros(1, by, dtype=mask.dtype), mask), dim=1),
    }


DROPPING = [method for method in PRUNERS.values() if not method.merges]


@pytest.mark.parametrize("layer", range(tiny.LAYERS + 1))
@pytest.mark.parametrize("method", DROPPING, ids=lambda method: method.name)
def test_generate_equals_hiding_the_dropped_keys(
    model: Any, prompt: dict[str, torch.Tensor], method: Any, layer: int
) -> None:
    if method.looks_back and layer == 0:
        with pytest.raises(IWPError, match="none before layer 0"):
            made(method, budget=0.2, layer=layer)
        return
    with prune(model, made(method, budget=0.2, layer=layer)) as trace:
        tokens, logits = generated(model, prompt)
    rows = visual_rows(model, prompt)
    assert trace.n_visual == [len(rows)]
    dropped = torch.tensor([], dtype=torch.long)
    if layer < tiny.LAYERS:
        (cut,) = trace.cuts
        assert cut.layer == layer
        assert len(cut.kept) == keep_count(len(rows), 0.2) or not method.nested
        assert (cut.kept.diff() > 0).all()
        dropped = rows[~torch.isin(torch.arange(len(rows)), cut.kept)]
    truth = oracles.hidden_logits(model, prompt, tokens[:-1], dropped, layer)
    assert (logits - truth).abs().max() < NEAR
    whole = oracles.hidden_logits(model, prompt, tokens[:-1], dropped[:0], layer)
    assert layer == tiny.LAYERS or (logits - whole).abs().max() > 100 * NEAR


@pytest.mark.parametrize("layer", [0, 3])
def test_padding_is_left_alone(model: Any, prompt: dict[str, torch.Tensor], layer: int) -> None:
    padded = left_padded(prompt, model.config.text_config.pad_token_id, by=7)
    with prune(model, IWP(budget=0.2, layer=layer)) as trace:
        tokens, logits = generated(model, padded)
    with prune(model, IWP(budget=0.2, layer=layer)) as plain_trace:
        _, plain = generated(model, prompt)
    assert torch.equal(trace.cuts[0].kept, plain_trace.cuts[0].kept)
    assert (logits - plain).abs().max() < NEAR
    rows = visual_rows(model, padded)
    dropped = rows[~torch.isin(torch.arange(len(rows)), trace.cuts[0].kept)]
    truth = oracles.hidden_logits(model, padded, tokens[:-1], dropped, layer)
    assert (logits - truth).abs().max() < NEAR


@pytest.mark.parametrize("layer", [0, 2])
def test_videos_are_cut_too(model: Any, layer: int) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    text = "<|im_start|>user <video>\nWhat moves?<|im_end|>\n<|im_start|>assistant\n"
    video = dict(tiny.processor()(text=text, videos=[clip], return_tensors="pt"))
    with prune(model, IWP(budget=0.3, layer=layer, bandwidth="median")) as trace:
        tokens, logits = generated(model, video)
    rows = (video["input_ids"][0] == model.config.video_token_id).nonzero().flatten()
    assert trace.n_visual == [len(rows)]
    dropped = rows[~torch.isin(torch.arange(len(rows)), trace.cuts[0].kept)]
    truth = oracles.hidden_logits(model, video, tokens[:-1], dropped, layer)
    assert (logits - truth).abs().max() < NEAR


@pytest.mark.parametrize("layer", [0, 2])
def test_a_whole_budget_is_the_baseline_bit_for_bit(
    model: Any, prompt: dict[str, torch.Tensor], layer: int
) -> None:
    tokens, logits = generated(model, prompt)
    with prune(model, IWP(budget=1.0, layer=layer)) as trace:
        pruned_tokens, pruned = generated(model, prompt)
    assert torch.equal(tokens, pruned_tokens)
    assert torch.equal(logits, pruned)
    assert len(trace.cuts[0].kept) == trace.n_visual[0]


@pytest.mark.parametrize("layer", [0, 2])
def test_without_a_cache_every_step_reads_the_prompt_again(
    model: Any, prompt: dict[str, torch.Tensor], layer: int
) -> None:
    with prune(model, Uniform(budget=0.2, layer=layer)):
        tokens, logits = generated(model, prompt)
    with prune(model, Uniform(budget=0.2, layer=layer)) as trace:
        again_tokens, again = generated(model, prompt, use_cache=False)
    assert len(trace.cuts) == STEPS
    assert torch.equal(tokens, again_tokens)
    assert (logits - again).abs().max() < NEAR


def test_steps_by_hand_without_positions(model: Any, prompt: dict[str, torch.Tensor]) -> None:
    # Before layer 0 only: after a later cut the caller has to count, as without pruning.
    with prune(model, Random(budget=0.3, layer=0)), torch.no_grad():
        tokens, logits = generated(model, prompt)
        out = model(**prompt, use_cache=True)
        steps = [out.logits[0, -1]]
        for token in tokens[:-1]:
            out = model(input_ids=token.view(1, 1), **cache_argument(model, cache_in(out)))
            steps.append(out.logits[0, -1])
    assert (torch.stack(steps) - logits).abs().max() < NEAR


def test_a_prompt_without_pictures_passes(model: Any) -> None:
    ids = tiny.tokenizer()("only words", return_tensors="pt")
    tokens, logits = generated(model, dict(ids))
    with prune(model, IWP(layer=2)) as trace:
        again_tokens, again = generated(model, dict(ids))
    assert trace.n_visual == [0]
    assert not trace.cuts
    assert torch.equal(tokens, again_tokens)
    assert torch.equal(logits, again)


def test_two_prompts_in_one_block(model: Any, prompt: dict[str, torch.Tensor]) -> None:
    other = tiny.inputs("And this?", tiny.picture(40, 90, seed=3))
    with prune(model, IWP(budget=0.2, layer=1)) as trace:
        _, first = generated(model, prompt)
        _, second = generated(model, other)
    with prune(model, IWP(budget=0.2, layer=1)):
        _, alone = generated(model, other)
    assert len(trace.cuts) == len(trace.n_visual) == 2
    assert torch.equal(second, alone)
    assert first.shape == second.shape


def hook_count(model: Any) -> int:
    # Forward hooks there are: transformers installs its own the first time it has to collect.
    return sum(len(module._forward_pre_hooks) for module in model.modules())


def test_the_model_is_as_it_was_also_after_an_error(
    model: Any, prompt: dict[str, torch.Tensor]
) -> None:
    _, baseline = generated(model, prompt)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}

    def stumble() -> None:
        with prune(model, IWP(layer=2)):
            generated(model, prompt)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stumble()
    assert hook_count(model) == 0
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(generated(model, prompt)[1], baseline)


def test_an_error_in_the_method_leaves_no_hooks(
    model: Any, prompt: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IWP, "select", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), prune(model, IWP(layer=2)):
        generated(model, prompt)
    assert hook_count(model) == 0


def test_threads_take_turns(prompt: dict[str, torch.Tensor]) -> None:
    model = tiny.model()
    budgets = [0.1, 0.3, 0.5, 0.9]
    alone = {}
    for budget in budgets:
        with prune(model, IWP(budget=budget, layer=1)):
            alone[budget] = generated(model, prompt)[1]
    together: dict[float, torch.Tensor] = {}

    def work(budget: float) -> None:
        with prune(model, IWP(budget=budget, layer=1)):
            together[budget] = generated(model, prompt)[1]

    threads = [threading.Thread(target=work, args=(budget,)) for budget in budgets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(together[budget], alone[budget]) for budget in budgets)
    assert hook_count(model) == 0


def test_what_cannot_be_cut_is_refused(model: Any, prompt: dict[str, torch.Tensor]) -> None:
    with pytest.raises(IWPError, match="6 layers"), prune(model, IWP(layer=7)):
        pass
    with pytest.raises(IWPError, match="static"), prune(model, IWP(layer=2)):
        generated(model, prompt, cache_implementation="static")
    with pytest.raises(IWPError, match="already"), prune(model, IWP()), prune(model, IWP()):
        pass
    embeds = torch.zeros(1, 4, 64)
    with pytest.raises(IWPError, match="visual="), prune(model, IWP(layer=2)):
        model(inputs_embeds=embeds)
    ends_with_picture = {**prompt, "input_ids": prompt["input_ids"][:, :-1].clone()}
    last = visual_rows(model, prompt)[-1] + 1
    ends_with_picture["input_ids"] = prompt["input_ids"][:, :last]
    ends_with_picture["attention_mask"] = prompt["attention_mask"][:, :last]
    with (
        pytest.raises(IWPError, match="text after the picture"),
        prune(model, Uniform(budget=0.1, layer=2)),
    ):
        model(**ends_with_picture)
    assert hook_count(model) == 0


@pytest.mark.parametrize("layer", [0, 2])
def test_a_second_question_about_the_same_picture(
    model: Any, prompt: dict[str, torch.Tensor], layer: int
) -> None:
    more = tiny.tokenizer()(" And then?", return_tensors="pt")["input_ids"]
    with prune(model, Uniform(budget=0.2, layer=layer)) as trace:
        first = model.generate(
            **prompt, max_new_tokens=3, do_sample=False, return_dict_in_generate=True
        )
        longer = torch.cat((first.sequences, more), dim=1)
        again = {"input_ids": longer, "attention_mask": torch.ones_like(longer)}
        again |= cache_argument(model, cache_in(first))
        if layer == 0:
            with pytest.raises(IWPError, match=r"empty cache|layer 1"):
                generated(model, again)
            return
        tokens, logits = generated(model, again)
    rows = visual_rows(model, prompt)
    dropped = rows[~torch.isin(torch.arange(len(rows)), trace.cuts[0].kept)]
    whole = {**prompt, "input_ids": longer, "attention_mask": torch.ones_like(longer)}
    truth = oracles.hidden_logits(model, whole, tokens[:-1], dropped, layer)
    assert len(trace.cuts) == 1
    assert (logits - truth).abs().max() < NEAR


def test_sdpa_needs_no_mask_after_the_cut(prompt: dict[str, torch.Tensor]) -> None:
    model = tiny.model("sdpa")
    masks = []
    for layer in model.get_decoder().layers:
        layer.self_attn.register_forward_pre_hook(
            lambda _, __, call: masks.append(call["attention_mask"]), with_kwargs=True
        )
    with prune(model, IWP(budget=0.2, layer=2)):
        generated(model, prompt)
    assert len(masks) == tiny.LAYERS * STEPS
    assert all(mask is None for mask in masks)
