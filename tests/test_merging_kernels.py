"""Merging with each attention kernel, with gradients, and on several devices."""

from __future__ import annotations

import pytest
import torch
from accelerate.hooks import attach_execution_device_hook
from transformers import DynamicCache
from transformers.masking_utils import AttentionMaskInterface, flash_attention_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from iwp import generate
from iwp.errors import IWPError
from iwp.pruners import Choice, LayerView
from iwp.pruning import prune
from iwp.support import cache_argument
from tests import tiny
from tests.families import FAMILIES
from tests.hiding import NEAR
from tests.neighbours import Neighbours, Sequenced
from tests.prompts import SMALL, TALL, WIDE, batch, written
from tests.test_batches import kernel_calls
from tests.test_flash import NAME, kernel
from tests.test_generate import embedded

FAMILY = "llava_onevision"


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("prompts", [1, 2])
def test_without_sizes_sdpa_gets_no_mask(layer: int, prompts: int) -> None:
    asked = ((WIDE, "What is it?"), (tiny.picture(70, 50, seed=5), "What is in?"))[:prompts]
    network, inputs = tiny.model(), batch(FAMILIES[FAMILY], *asked)
    calls = kernel_calls(network, inputs, Neighbours(layer=layer, sized=False))
    assert calls == [(None, True)] * tiny.LAYERS + [(None, False)] * tiny.LAYERS
    calls = kernel_calls(network, inputs, Neighbours(layer=layer))
    plain = [mask is None for mask, _ in calls]
    assert plain == ([True] * layer + [False] * (tiny.LAYERS - layer)) * 2
    assert not any(causal for mask, causal in calls if mask is not None)


@pytest.mark.parametrize("layer", [0, 2])
def test_flash_attention_takes_rows_and_no_sizes(
    monkeypatch: pytest.MonkeyPatch, layer: int
) -> None:
    inputs = batch(FAMILIES[FAMILY], (WIDE, "What is it?"), (TALL, "and", SMALL, "differ how?"))
    with prune(network := tiny.model(), Neighbours(layer=layer, sized=False)):
        wanted = written(network, inputs)[1]
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, NAME, kernel)
    monkeypatch.setitem(AttentionMaskInterface._global_mapping, NAME, flash_attention_mask)
    network.get_decoder().config._attn_implementation = NAME
    with prune(network, Neighbours(layer=layer, sized=False)):
        logits = written(network, inputs)[1]
    assert (logits - wanted).abs().max() < NEAR
    with pytest.raises(IWPError, match="sdpa"), prune(network, Neighbours(layer=layer)):
        network(**inputs)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(attention: str, dtype: torch.dtype) -> None:
    exact, network = tiny.model(attention), tiny.model(attention).to(dtype)
    embeds, visual = embedded(exact, tiny.inputs())
    pruner = Neighbours(layer=2)
    truth = generate.prefill(exact, embeds, visual, pruner=pruner).logits
    state = generate.prefill(network, embeds.to(dtype), visual, pruner=pruner)
    noise = generate.prefill(network, embeds.to(dtype), visual).logits
    noise -= generate.prefill(exact, embeds, visual).logits
    assert (state.logits - truth).abs().max() < 3 * noise.abs().max()
    assert len(list(generate.decode(network, state, 3, stop_ids=()))) == 3


def test_sizes_count_once() -> None:
    twice = Sequenced(layer=1, of=(Neighbours(layer=1), Neighbours(layer=3)))
    with pytest.raises(IWPError, match="once"), prune(network := tiny.model(), twice):
        network(**tiny.inputs())


@pytest.mark.parametrize("layer", [0, 2])
def test_a_whole_budget_may_still_merge(layer: int) -> None:
    """A picture at the end cannot be read by a method that merges, whatever its budget."""
    network, inputs = tiny.model(), tiny.inputs()
    end = int((inputs["input_ids"][0] == network.config.image_token_id).nonzero()[-1]) + 1
    cut = {name: inputs[name][:, :end] for name in ("input_ids", "attention_mask")}
    with (
        pytest.raises(IWPError, match="text after the picture"),
        prune(network, Neighbours(budget=1.0, layer=layer)),
    ):
        network(**{**inputs, **cut})


@pytest.mark.parametrize("layer", [0, 2])
def test_gradients_reach_the_rows_that_stay(layer: int) -> None:
    network = tiny.model()
    embeds, visual = embedded(network, tiny.inputs())
    given = embeds.clone()
    embeds.requires_grad_()
    with prune(network, Neighbours(layer=layer), visual=visual) as trace:
        network(inputs_embeds=embeds).logits[0, -1].sum().backward()
    assert torch.equal(embeds.detach(), given)  # what was given is as it was
    assert embeds.grad is not None
    strength = embeds.grad[0].norm(dim=-1)
    words = torch.ones(len(strength), dtype=torch.bool)
    words[visual] = False
    assert bool((strength[words] > 0).all())
    if layer == 0:  # the means are constants: nothing goes back to what they were made of
        assert bool((strength[visual] == 0).all())
    assert len(trace.cuts) == 1


@pytest.mark.parametrize("layer", [0, 1, 4])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", [FAMILY, "qwen3_vl"])
def test_layers_on_another_device(family: str, attention: str, layer: int) -> None:
    # "meta" stands for a second GPU: it computes shapes, and refuses to be mixed with the CPU.
    network = FAMILIES[family].model(attention)
    decoder = network.get_decoder()
    for module in (*decoder.layers[3:], decoder.norm, network.lm_head):
        module.to("meta")
        attach_execution_device_hook(module, "meta")
    inputs = batch(FAMILIES[family], (WIDE, "What is it?"), (SMALL, "And which one is it?"))
    cache = DynamicCache(config=network.config)
    cuts = Halves(layer=layer), Halves(layer=3, sized=False)
    with prune(network, Sequenced(layer=layer, of=cuts[: 1 + (layer < 3)])), torch.no_grad():
        network(**inputs, **cache_argument(network, cache))
        more = torch.ones((2, 1), dtype=torch.long)
        mask = torch.cat((inputs["attention_mask"], more), dim=1)
        at = mask.sum(dim=1, keepdim=True) - 1
        at = at.expand(3, -1, -1) if family == "qwen3_vl" else at
        read = network(
            input_ids=more, attention_mask=mask, position_ids=at, **cache_argument(network, cache)
        )
    assert read.logits.device.type == "meta"
    assert cache.layers[layer].get_seq_length() < mask.shape[1]


class Halves(Neighbours):
    """Keeps every second token, twice as big where it is sized, without a look at any number."""

    def choose(self, view: LayerView) -> Choice:
        kept = torch.arange(0, view.n, 2)
        if not self.sized:
            return Choice(kept)
        rows = view.hidden[view.visual[::2]] * 2
        return Choice(
            kept, None, rows, torch.full((len(kept),), 2.0), torch.arange(view.n) // 2 * 2
        )
