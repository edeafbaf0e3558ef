"""What entered the decoder, for methods that ask for it, whatever was cut, padded or read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from iwp import generate
from iwp.pruners import Choice, LayerView, Pruner, Random
from iwp.pruning import prune
from iwp.trunk import Trunk
from iwp.types import Ranking
from tests import tiny
from tests.families import FAMILIES
from tests.hiding import visual_columns
from tests.neighbours import Sequenced
from tests.prompts import SMALL, TALL, WIDE, batch, model
from tests.test_generate import embedded

FAMILY = "llava_onevision"


@dataclass(frozen=True)
class Asks(Pruner):
    """Keeps the first tokens, drops the whole last picture, and notes what it was shown."""

    name: ClassVar[str] = "asks"
    needs_embeddings: ClassVar[bool] = True

    views: list[LayerView] = field(default_factory=list)

    def rank(self, view: LayerView) -> Ranking:
        self.views.append(view)
        return Ranking(torch.arange(view.n), torch.zeros(view.n))

    def choose(self, view: LayerView) -> Choice:
        self.views.append(view)
        return Choice(torch.arange(max(1, view.n // 8)))


@torch.no_grad()
def entering(network: Any, inputs: dict[str, Any]) -> Tensor:
    """(B, S, D) what enters the decoder."""
    found: list[Tensor] = []
    handle = network.get_decoder().register_forward_pre_hook(
        lambda _, __, call: found.append(call["inputs_embeds"]), with_kwargs=True
    )
    network(**inputs)
    handle.remove()
    return found[0]


@pytest.mark.parametrize("family", [FAMILY, "qwen3_vl"])
@pytest.mark.parametrize("layer", [0, 1])
def test_every_cut_of_every_row_is_shown_it(family: str, layer: int) -> None:
    network = model(family)
    prompts = (WIDE, "What is it?"), (SMALL, "Before", TALL, "which one is it?")
    inputs = batch(FAMILIES[family], *prompts)
    embeds, columns = entering(network, inputs), visual_columns(network, inputs["input_ids"])
    asks = [Asks(layer=layer), Asks(layer=3)]
    with prune(network, Sequenced(layer=layer, of=tuple(asks))) as trace:
        network.generate(**inputs, max_new_tokens=2)
    first, second = (one.views for one in asks)
    assert [len(first), len(second), len(trace.cuts)] == [2, 2, 4]
    for row, (visual, was) in enumerate(zip(columns, embeds, strict=True)):
        for view, of in ((first[row], visual), (second[row], visual[trace.cuts[row].kept])):
            assert torch.equal(view.at_input.visual, was[visual])
            text = [c for c in range(int(of[-1]) + 1, len(was)) if c not in visual]
            assert torch.equal(view.at_input.text, was[text])
            assert len(view.text) == len(text)
        # In the second prompt the first cut drops the later picture: more text asks.
        more = len(second[row].text) - len(first[row].text)
        assert (more > 0) == (row == 1)


def test_our_own_loop_shows_it_too() -> None:
    network, inputs = tiny.model(), tiny.inputs()
    embeds, visual = embedded(network, inputs)
    given, asks = {"embeds": embeds, "visual": visual}, Asks(layer=2)
    generate.prefill(network, **given, pruner=asks)
    trunk = Trunk(network, layer=2, **given)
    trunk.prefill(asks)
    generate.rank(network, **given, pruner=asks)
    views = [*asks.views, trunk.view(asks)]
    generate.look(network, **given, note=lambda at, view: views.append(view) if at == 2 else None)
    assert len(views) == 5
    for view in views:
        assert torch.equal(view.at_input.visual, embeds[0, visual])
        assert torch.equal(view.at_input.text, embeds[0, int(visual[-1]) + 1 :])


def test_who_does_not_ask_is_not_shown_it() -> None:
    network, inputs = tiny.model(), tiny.inputs()
    embeds, visual = embedded(network, inputs)
    assert Trunk(network, embeds, visual, 2).view(Random(layer=2)).embeddings is None
    with pytest.raises(ValueError, match="nobody looked"):
        _ = Trunk(network, embeds, visual, 2).view(Random(layer=2)).at_input
