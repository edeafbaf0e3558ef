"""Our own loop: the same cut and the same tokens as stock generate(), one step at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from iwp import dual, fidelity, generate, steps
from iwp.adapters.llava_onevision import LlavaOnevision
from iwp.budget import keep_count
from iwp.errors import IWPError
from iwp.measure import kv_bytes
from iwp.pruners import IWP, PRUNERS, Uniform
from iwp.pruning import prune
from iwp.tower import watch_of
from iwp.types import Tower
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


def embedded(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        features = model.get_image_features(inputs["pixel_values"], inputs["image_sizes"])
        embeds = model.get_input_embeddings()(inputs["input_ids"])
    visual = (inputs["input_ids"][0] == model.config.image_token_id).nonzero().flatten()
    embeds[0, visual] = torch.cat(list(features.pooler_output))
    return embeds, visual


def looked_into(model: Any, inputs: dict[str, torch.Tensor]) -> Tower | None:
    """What the vision tower of a model says of the prompt's only picture."""
    with torch.no_grad(), watch_of(model).watching() as watch:
        features = model.get_image_features(inputs["pixel_values"], inputs["image_sizes"])
        return watch.take([len(torch.cat(list(features.pooler_output)))])[0]


def answered(model: Any, state: generate.Prefill) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and the logits of every step."""
    logits = [state.logits]
    read = steps.read

    def keep(*args: Any, **inputs: Any) -> torch.Tensor:
        logits.append(read(*args, **inputs))
        return logits[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "read", keep)
        tokens = list(generate.decode(model, state, STEPS, stop_ids=()))
    return torch.tensor(tokens), torch.stack(logits)


@pytest.mark.parametrize("layer", range(tiny.LAYERS + 1))
def test_every_step_equals_hiding_the_dropped_keys(
    model: Any, prompt: dict[str, torch.Tensor], layer: int
) -> None:
    embeds, visual = embedded(model, prompt)
    state = generate.prefill(model, embeds, visual, pruner=IWP(budget=0.2, layer=layer))
    dropped = visual[:0]
    if layer < tiny.LAYERS:
        kept = state.trace.cuts[0].kept
        dropped = visual[~torch.isin(torch.arange(len(visual)), kept)]
        lengths = [entry.get_seq_length() for entry in state.cache.layers]
        whole = embeds.shape[1]
        short = whole - len(dropped)
        assert lengths == [whole] * layer + [short] * (tiny.LAYERS - layer)
    tokens, logits = answered(model, state)
    truth = oracles.hidden_logits(model, prompt, tokens[:-1], dropped, layer)
    assert logits.shape == truth.shape
    assert (logits - truth).abs().max() < NEAR


@pytest.mark.parametrize("layer", [0, 3])
@pytest.mark.parametrize("method", PRUNERS.values(), ids=PRUNERS)
def test_same_tokens_as_stock_generate(
    model: Any, prompt: dict[str, torch.Tensor], method: Any, layer: int
) -> None:
    pruner = made(method, budget=0.3, layer=max(layer, int(method.looks_back)))
    with prune(model, pruner):
        stock = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    embeds, visual = embedded(model, prompt)
    tower = looked_into(model, prompt)
    state = generate.prefill(model, embeds, visual, pruner=pruner, tower=tower)
    ours = list(generate.decode(model, state, 12, stop_ids=()))
    assert stock[0, prompt["input_ids"].shape[1] :].tolist() == ours


def test_a_whole_budget_is_the_baseline_bit_for_bit(
    model: Any, prompt: dict[str, torch.Tensor]
) -> None:
    embeds, visual = embedded(model, prompt)
    baseline = generate.prefill(model, embeds, visual)
    whole = generate.prefill(model, embeds, visual, pruner=IWP(budget=1.0, layer=2))
    assert torch.equal(baseline.logits, whole.logits)
    assert baseline.trace.n_visual == whole.trace.n_visual == [len(visual)]
    assert not baseline.trace.cuts
    assert kv_bytes(baseline.cache) == kv_bytes(whole.cache)
    tokens, logits = answered(model, baseline)
    whole_tokens, whole_logits = answered(model, whole)
    assert torch.equal(tokens, whole_tokens)
    assert torch.equal(logits, whole_logits)


@pytest.mark.parametrize("method", PRUNERS.values(), ids=PRUNERS)
@pytest.mark.parametrize("layer", [0, 4])
def test_the_ranking_gives_every_budget(
    model: Any, prompt: dict[str, torch.Tensor], method: Any, layer: int
) -> None:
    embeds, visual = embedded(model, prompt)
    n, tower = len(visual), looked_into(model, prompt)
    layer = max(layer, int(method.looks_back))
    ranking = generate.rank(model, embeds, visual, made(method, layer=layer), tower=tower)
    assert sorted(ranking.ranks.tolist()) == list(range(n))
    assert (ranking.scores.shape, ranking.scores.dtype) == ((n,), torch.float32)
    for budget in (1e-6, 0.05, 0.111, 0.222, 0.5, 0.99):
        pruner = made(method, budget=budget, layer=layer)
        state = generate.prefill(model, embeds, visual, pruner=pruner, tower=tower)
        kept = state.trace.cuts[0].kept
        keep = keep_count(n, budget)
        if not method.nested:  # then the ranking is that of one budget
            ranking, keep = generate.rank(model, embeds, visual, pruner, tower=tower), len(kept)
        assert torch.equal(kept, (ranking.ranks < keep).nonzero().flatten())
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("bandwidth", ["sqrt_d", "median"])
def test_a_blank_picture_gives_every_budget_too(model: Any, bandwidth: str) -> None:
    embeds, visual = embedded(model, tiny.inputs(image=Image.new("RGB", (64, 64), "white")))
    ranks = generate.rank(model, embeds, visual, IWP(layer=0, bandwidth=bandwidth)).ranks
    for budget in (0.05, 0.222, 0.5):
        pruner = IWP(budget=budget, layer=0, bandwidth=bandwidth)
        kept = generate.prefill(model, embeds, visual, pruner=pruner).trace.cuts[0].kept
        assert torch.equal(kept, (ranks < keep_count(len(visual), budget)).nonzero().flatten())


def test_ranking_runs_no_later_layer(model: Any, prompt: dict[str, torch.Tensor]) -> None:
    embeds, visual = embedded(model, prompt)
    ran = []
    layers = model.get_decoder().layers
    handles = [
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(layers)
    ]
    generate.rank(model, embeds, visual, IWP(layer=3))
    for handle in handles:
        handle.remove()
    assert ran == [0, 1, 2]
    with pytest.raises(IWPError, match="6 layers"):
        generate.rank(model, embeds, visual, IWP(layer=6))


def test_decoding_is_lazy_and_stops_at_stop_tokens(
    model: Any, prompt: dict[str, torch.Tensor]
) -> None:
    embeds, visual = embedded(model, prompt)

    def start() -> generate.Prefill:
        return generate.prefill(model, embeds, visual, pruner=Uniform(budget=0.5, layer=2))

    tokens = list(generate.decode(model, start(), 9, stop_ids=()))
    assert len(tokens) == 9
    state = start()
    length = state.cache.get_seq_length()
    steps = generate.decode(model, state, 9, stop_ids=())
    assert next(steps) == tokens[0]
    assert state.cache.get_seq_length() == length
    assert next(steps) == tokens[1]
    assert state.cache.get_seq_length() == length + 1
    stop = next(token for token in tokens if token != tokens[0])
    until = tokens.index(stop)
    assert list(generate.decode(model, start(), 9, stop_ids={stop})) == tokens[:until]
    assert list(generate.decode(model, start(), 9, stop_ids={tokens[0]})) == []
    assert list(generate.decode(model, start(), 0, stop_ids=())) == []


def test_check_runs_before_every_layer_and_can_end_it(
    model: Any, prompt: dict[str, torch.Tensor]
) -> None:
    embeds, visual = embedded(model, prompt)
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 9:
            raise TimeoutError

    generate.prefill(model, embeds, visual, check=check)
    assert len(calls) == tiny.LAYERS
    with pytest.raises(TimeoutError):
        generate.prefill(model, embeds, visual, pruner=IWP(layer=1), check=check)
    assert len(calls) == 9
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_positions_go_on_where_they_ended(model: Any, prompt: dict[str, torch.Tensor]) -> None:
    embeds, visual = embedded(model, prompt)
    pruner = IWP(budget=0.2, layer=2)
    plain = generate.prefill(model, embeds, visual, pruner=pruner)
    assert plain.next_position.tolist() == [[embeds.shape[1]]]
    positions = torch.arange(embeds.shape[1])[None]
    given = generate.prefill(model, embeds, visual, positions=positions, pruner=pruner)
    assert torch.equal(plain.logits, given.logits)


def test_kernel_exponents_say_where_keys_lie_far_apart(
    model: Any, prompt: dict[str, torch.Tensor]
) -> None:
    embeds, visual = embedded(model, prompt)
    exponents = generate.kernel_exponents(model, embeds, visual)
    assert len(exponents) == tiny.LAYERS
    assert all(exponent > 0 for exponent in exponents)


def test_looking_shows_every_layer(model: Any, prompt: dict[str, torch.Tensor]) -> None:
    embeds, visual = embedded(model, prompt)
    views: list[tuple[int, Any]] = []
    generate.look(model, embeds, visual, note=lambda *seen: views.append(seen))
    assert [number for number, _ in views] == list(range(tiny.LAYERS))
    assert torch.equal(views[0][1].hidden, embeds[0])
    # A picture of 70 x 50 pixels: a base grid, then tiles whose rows each end with a newline.
    layout = LlavaOnevision(model, tiny.processor()).layout(70, 50)
    ends = [
        grid.offset + row * grid.stride + grid.cols
        for grid in layout.grids
        if grid.newline
        for row in range(grid.rows)
    ]
    assert ends
    assert all(view.separators.tolist() == ends for _, view in views)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_bfloat16_ranks_in_float32(prompt: dict[str, torch.Tensor]) -> None:
    model = tiny.model().to(torch.bfloat16)
    embeds, visual = embedded(model, {**prompt, "pixel_values": prompt["pixel_values"].bfloat16()})
    state = generate.prefill(model, embeds, visual, pruner=IWP(budget=0.2, layer=2))
    assert state.logits.dtype == torch.float32
    assert state.trace.cuts[0].scores.dtype == torch.float32
    assert len(list(generate.decode(model, state, 3, stop_ids=()))) == 3


def test_a_ranking_measures_what_each_budget_loses(
    model: Any, prompt: dict[str, torch.Tensor]
) -> None:
    embeds, visual = embedded(model, prompt)
    pruner = IWP(budget=0.2, layer=2)
    plain = generate.rank(model, embeds, visual, pruner)
    assert plain.weight_errors is plain.output_errors is plain.exponent is None
    found = generate.rank(model, embeds, visual, pruner, errors=True)
    assert found.ranks.equal(plain.ranks)
    assert found.weight_errors is not None
    views = {}
    generate.look(model, embeds, visual, note=lambda number, view: views.update({number: view}))
    keys = views[2].rotate(views[2].visual_keys, visual)
    for kept in (1, 7, len(visual)):
        chosen = (found.ranks < kept).nonzero().flatten()
        truth = fidelity.dual_weight_error(keys, views[2].visual_values, chosen)
        assert float(found.weight_errors[kept]) == pytest.approx(truth, abs=1e-6)
    assert found.exponent == pytest.approx(dual.median_exponent(keys))
