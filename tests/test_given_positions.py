"""Prompts of embeddings: where the visual tokens are is told by the caller."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from iwp.errors import IWPError
from iwp.pruners import IWP
from iwp.pruning import prune
from tests import tiny
from tests.test_generate import embedded

PRUNER = IWP(budget=0.2, layer=2)


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny.model()


@pytest.mark.parametrize("options", [{"num_beams": 2}, {"num_return_sequences": 2}])
@pytest.mark.parametrize("as_mask", [False, True])
def test_they_serve_every_row_that_generate_makes(
    model: Any, options: dict[str, int], as_mask: bool
) -> None:
    embeds, visual = embedded(model, tiny.inputs())
    if as_mask:
        positions, visual = visual, torch.zeros(embeds.shape[:2], dtype=torch.bool)
        visual[0, positions] = True
    mask = torch.ones(embeds.shape[:2], dtype=torch.long)
    sampled = {"do_sample": True} if "num_return_sequences" in options else {}
    with prune(model, PRUNER, visual=visual) as trace:
        model.generate(
            inputs_embeds=embeds, attention_mask=mask, max_new_tokens=3, **options, **sampled
        )
    assert len(trace.cuts) == 2
    assert trace.cuts[0].kept.equal(trace.cuts[1].kept)


@pytest.mark.parametrize("shape", [(1, 5), (3,)])
def test_a_mask_of_another_shape_is_refused(model: Any, shape: tuple[int, ...]) -> None:
    embeds, _ = embedded(model, tiny.inputs())
    wrong = torch.ones(shape, dtype=torch.bool)
    with pytest.raises(IWPError, match="told by a mask"), prune(model, PRUNER, visual=wrong):
        model(inputs_embeds=embeds)


def test_gradients_pass_the_cut(model: Any) -> None:
    embeds, visual = embedded(model, tiny.inputs())
    embeds = embeds.clone().requires_grad_()
    with prune(model, PRUNER, visual=visual) as trace:
        model(inputs_embeds=embeds).logits[0, -1].sum().backward()
    assert embeds.grad is not None
    strength = embeds.grad[0, visual].norm(dim=-1)
    assert bool((strength[trace.cuts[0].kept] > 0).all())
