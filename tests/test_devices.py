"""Models that accelerate has spread or offloaded: weights come and go around every module."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from accelerate import dispatch_model
from accelerate.hooks import attach_execution_device_hook
from transformers import DynamicCache

from iwp import generate
from iwp.adapters import ADAPTERS
from iwp.budget import check_budget, keep_count
from iwp.media import open_picture
from iwp.pruners import DART, IWP, Choice, FastV, LayerView, Pruner, V2Drop
from iwp.pruning import prune
from iwp.support import cache_argument
from iwp.types import Ranking
from tests import tiny
from tests.families import FAMILIES
from tests.hiding import visual_columns
from tests.prompts import SMALL, WIDE, batch, model, written


def spread(family: str, folder: Path) -> Any:
    """The tiny model with its layers 2 and 3 on disk, everything else on the CPU."""
    network = FAMILIES[family].model()
    places = {name: "cpu" for name, _ in network.named_children() if name != "model"}
    places |= {f"model.{name}": "cpu" for name, _ in network.model.named_children()}
    places |= {f"model.{name}": "cpu" for name in network.model._parameters}
    decoder = network.get_decoder()
    path = next(name for name, module in network.named_modules() if module is decoder)
    del places[path]
    places |= {f"{path}.{name}": "cpu" for name, _ in decoder.named_children() if name != "layers"}
    for number in range(tiny.LAYERS):
        places[f"{path}.layers.{number}"] = "disk" if number in (2, 3) else "cpu"
    return dispatch_model(network, places, main_device="cpu", offload_dir=str(folder))


@pytest.mark.filterwarnings("ignore:The following device_map keys")  # a bare parameter
@pytest.mark.parametrize(
    "pruner",
    [
        *(IWP(budget=0.3, layer=layer) for layer in (0, 2, 4)),
        FastV(budget=0.3, layer=3),
        DART(budget=0.3, layer=4),
        V2Drop(budget=0.5, layer=2, later=(4, 5)),
    ],
    ids=lambda pruner: f"{pruner.name} {pruner.layer}",
)
@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
def test_offloaded_layers(family: str, pruner: Pruner, tmp_path: Path) -> None:
    inputs = batch(FAMILIES[family], (WIDE, "What is it?"), (SMALL, "And which?"))
    with prune(model(family), pruner) as whole_trace:
        tokens, logits = written(model(family), inputs)
    network = spread(family, tmp_path)
    assert network.get_decoder().layers[2].self_attn.q_proj.weight.device.type == "meta"
    with prune(network, pruner) as trace:
        spread_tokens, spread_logits = written(network, inputs)
    assert torch.equal(tokens, spread_tokens)
    assert torch.equal(logits, spread_logits)
    for cut, whole in zip(trace.cuts, whole_trace.cuts, strict=True):
        assert torch.equal(cut.kept, whole.kept)


def test_own_loop_of_an_offloaded_model(tmp_path: Path) -> None:
    family = "qwen3_vl"
    answers = []
    for network in (model(family), spread(family, tmp_path)):
        adapter = ADAPTERS[family](network, FAMILIES[family].processor())
        ready = adapter.prepare(open_picture(tiny.picture()), "What is it?")
        inputs = dict(adapter.inputs(ready, adapter.encode(ready)))
        ranks = generate.rank(network, **inputs, pruner=IWP(layer=2)).ranks
        state = generate.prefill(network, **inputs, pruner=IWP(budget=0.3, layer=2))
        answers.append((ranks, torch.tensor(list(generate.decode(network, state, 4, ())))))
    assert all(torch.equal(one, other) for one, other in zip(*answers, strict=True))


class First(Pruner):
    """Keeps the first tokens, and looks where the layer's own projections are."""

    name: ClassVar[str] = "first"

    def rank(self, view: LayerView) -> Ranking:
        raise NotImplementedError

    def choose(self, view: LayerView) -> Choice:
        home = "meta" if self.layer >= 3 else "cpu"
        turned = view.rotate(view.keys, view.prompt)
        tensors = (view.hidden, view.queries(view.text), turned, view.visual_values)
        assert {tensor.device.type for tensor in tensors} == {home}
        return Choice(torch.arange(keep_count(view.n, check_budget(self.budget))))


class Back(First):
    """Runs a method that looks at the layer before, and keeps the first tokens."""

    looks_back: ClassVar[bool] = True

    def choose(self, view: LayerView) -> Choice:
        home = "meta" if self.layer >= 3 else "cpu"
        # DART needs the final norm, which is on "meta": nothing comes back from there.
        for method in (FastV(), V2Drop(), *([DART()] if home == "meta" else [])):
            kept, _ = method.select(view, 5)
            assert kept.device.type == home
        return super().choose(view)


@pytest.mark.parametrize("layer", [1, 3, 4])
def test_methods_look_back_over_devices(layer: int) -> None:
    network = FAMILIES["llava_onevision"].model()
    decoder = network.get_decoder()
    for module in (*decoder.layers[3:], decoder.norm, network.lm_head):
        module.to("meta")
        attach_execution_device_hook(module, "meta")
    inputs = batch(FAMILIES["llava_onevision"], (WIDE, "What is it?"))
    with prune(network, Back(budget=0.3, layer=layer)) as trace, torch.no_grad():
        network(**inputs)
    assert [cut.layer for cut in trace.cuts] == [layer]


@pytest.mark.parametrize("layer", [0, 1, 3, 4])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
def test_two_devices(family: str, kernel: str, layer: int) -> None:
    # "meta" stands for a second GPU: it computes shapes, and refuses to be mixed with the CPU.
    network = FAMILIES[family].model(kernel)
    decoder = network.get_decoder()
    for module in (*decoder.layers[3:], decoder.norm, network.lm_head):
        module.to("meta")
        attach_execution_device_hook(module, "meta")
    inputs = batch(FAMILIES[family], (WIDE, "What is it?"), (SMALL, "And which one is it?"))
    cache = DynamicCache(config=network.config)
    with prune(network, First(budget=0.3, layer=layer)) as trace, torch.no_grad():
        read = network(**inputs, **cache_argument(network, cache)).logits
        more = torch.ones((2, 1), dtype=torch.long)
        mask = torch.cat((inputs["attention_mask"], more), dim=1)
        at = mask.sum(dim=1, keepdim=True) - 1
        at = at.expand(3, -1, -1) if family == "qwen3_vl" else at
        network(
            input_ids=more, attention_mask=mask, position_ids=at, **cache_argument(network, cache)
        )
    visual = visual_columns(network, inputs["input_ids"])
    tokens = inputs["attention_mask"].sum(dim=1)
    short = max(
        int(size) - len(columns) + len(cut.kept)
        for size, columns, cut in zip(tokens, visual, trace.cuts, strict=True)
    )
    assert (read.device.type, read.shape[1]) == ("meta", short)
    lengths = [layer.get_seq_length() for layer in cache.layers]
    assert lengths == [mask.shape[1]] * layer + [short + 1] * (tiny.LAYERS - layer)
    assert [layer.keys.device.type for layer in cache.layers] == ["cpu"] * 3 + ["meta"] * 3
