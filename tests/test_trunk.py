"""Reading the first layers once: the same prefill and the same answer as in one piece."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from iwp import generate
from iwp.errors import IWPError
from iwp.pruners import IWP, Random
from iwp.trunk import Trunk
from tests import tiny
from tests.test_generate import embedded

STEPS = 5


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(request: pytest.FixtureRequest) -> Any:
    return tiny.model(attention=request.param)


@pytest.mark.parametrize("layer", range(tiny.LAYERS))
def test_every_cut_goes_on_as_if_it_were_the_only_one(model: Any, layer: int) -> None:
    embeds, visual = embedded(model, tiny.inputs())
    trunk = Trunk(model, embeds, visual, layer)
    pruners = [IWP(budget=0.1, layer=layer), Random(budget=0.5, layer=layer), None]
    for pruner in (*pruners, pruners[0]):
        shared = trunk.prefill(pruner)
        alone = generate.prefill(model, embeds, visual, pruner=pruner)
        assert torch.allclose(shared.logits, alone.logits, atol=1e-5)
        lengths = [[c.get_seq_length() for c in s.cache.layers] for s in (shared, alone)]
        assert lengths[0] == lengths[1]
        if pruner is not None:
            assert shared.trace.cuts[0].kept.equal(alone.trace.cuts[0].kept)
        answers = [list(generate.decode(model, s, STEPS, stop_ids=())) for s in (shared, alone)]
        assert answers[0] == answers[1]


def test_a_whole_budget_drops_nothing(model: Any) -> None:
    embeds, visual = embedded(model, tiny.inputs())
    trunk = Trunk(model, embeds, visual, 2)
    whole = trunk.prefill(IWP(budget=1.0, layer=2))
    assert torch.equal(whole.logits, trunk.prefill().logits)


def test_the_model_is_left_as_it_was(model: Any) -> None:
    embeds, visual = embedded(model, tiny.inputs())
    Trunk(model, embeds, visual, 3).prefill(IWP(budget=0.1, layer=3))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_another_layer_is_refused(model: Any) -> None:
    embeds, visual = embedded(model, tiny.inputs())
    with pytest.raises(IWPError, match="up to layer 2"):
        Trunk(model, embeds, visual, 2).prefill(IWP(layer=3))
    with pytest.raises(IWPError, match="6 layers"):
        Trunk(model, embeds, visual, tiny.LAYERS)
