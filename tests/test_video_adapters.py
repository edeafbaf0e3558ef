"""Videos through the adapters, against the families' own processors, models and generate()."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, LlavaOnevisionConfig

from iwp import generate, overlay
from iwp.adapters import ADAPTERS, Adapter
from iwp.adapters.loading import DEMO_FOLDER
from iwp.errors import InputError, ModelError
from iwp.events import Ranked
from iwp.pruners import IWP, Random
from iwp.pruning import prune
from iwp.types import Media, Ranking, Sampling
from iwp.ui import token_map
from iwp.ui.sides import Sides
from iwp.ui.visitors import Asked
from tests import tiny
from tests.families import FAMILIES
from tests.painting import places

NAMES = ("llava_onevision", "qwen2_vl", "qwen2_5_vl")
OTHERS = sorted(set(FAMILIES) - set(NAMES))
SIZES = [(70, 50), (50, 71), (33, 33)]

every_family = pytest.mark.parametrize("name", NAMES)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)
every_length = pytest.mark.parametrize("frames", [1, 2, 3, 6])


@cache
def _adapter(name: str, attention: str = "sdpa") -> Adapter:
    family = FAMILIES[name]
    return ADAPTERS[name](family.model(attention), family.processor())


def _video(frames: int = 4, size: tuple[int, int] = (70, 50), pace: float = 2.0) -> Media:
    pictures = tuple(tiny.picture(*size, seed=seed) for seed in range(frames))
    return Media(pictures, tuple(i / pace for i in range(frames)), "video")


def _theirs(name: str, media: Media, question: str = "What?", pace: float = 2.0) -> dict[str, Any]:
    """What a person who follows the family's own documentation gives to the model."""
    ready = FAMILIES[name].processor()
    turn = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]}]
    n = len(media.frames)
    made = ready(
        text=ready.apply_chat_template(turn, add_generation_prompt=True),
        videos=[list(media.frames)],
        video_metadata=[{"total_num_frames": n, "fps": pace, "frames_indices": list(range(n))}],
        do_sample_frames=False,
        return_tensors="pt",
    )
    return {name: value for name, value in made.items() if name != "video_metadata"}


@every_family
@every_size
@every_length
@pytest.mark.parametrize("pace", [2.0, 0.5])
def test_the_prompt_is_that_of_the_processor(
    name: str, size: tuple[int, int], frames: int, pace: float
) -> None:
    media = _video(frames, size, pace)
    ours = _adapter(name).prepare(media, "Größe?\nand more")
    theirs = _theirs(name, media, "Größe?\nand more", pace)
    assert torch.equal(ours.input_ids, theirs["input_ids"])
    assert torch.equal(ours.vision["pixel_values_videos"], theirs["pixel_values_videos"])
    placeholder = _adapter(name).model.config.video_token_id
    assert ours.visual.tolist() == (theirs["input_ids"][0] == placeholder).nonzero()[:, 0].tolist()
    assert ours.layout.n == len(ours.visual)
    assert (ours.layout.width, ours.layout.height) == size


@every_family
@every_size
@pytest.mark.parametrize("frames", [1, 5])
def test_the_decoder_is_given_what_stock_generate_gives_it(
    name: str, size: tuple[int, int], frames: int
) -> None:
    adapter, media = _adapter(name), _video(frames, size)
    calls: list[dict[str, Any]] = []
    hook = adapter.model.get_decoder().register_forward_pre_hook(
        lambda _module, _args, call: calls.append(call), with_kwargs=True
    )
    with hook:
        adapter.model.generate(**_theirs(name, media), max_new_tokens=1, do_sample=False)
    prepared = adapter.prepare(media, "What?")
    ours = adapter.inputs(prepared, adapter.encode(prepared))
    torch.testing.assert_close(ours["embeds"], calls[0]["inputs_embeds"], rtol=0, atol=1e-6)
    if ours["positions"] is not None:
        assert torch.equal(ours["positions"], calls[0]["position_ids"][1:])


@every_family
def test_features_are_those_of_the_model(name: str) -> None:
    adapter, media = _adapter(name), _video()
    theirs = _theirs(name, media)
    vision = [theirs[key] for key in ("pixel_values_videos", "video_grid_thw") if key in theirs]
    with torch.no_grad():
        made = adapter.model.get_video_features(*vision, return_dict=True).pooler_output
    made = torch.cat([part.flatten(0, -2) for part in made])
    ours = adapter.encode(adapter.prepare(media, "What?"))
    assert len(ours) - len(made) in (0, int(name == "llava_onevision"))  # the end of the clip
    torch.testing.assert_close(ours[: len(made)], made)


def test_seconds_between_frames_are_told_to_qwen2_5() -> None:
    adapter = _adapter("qwen2_5_vl")
    rate = adapter.model.config.vision_config.tokens_per_second
    for pace in (1.0, 2.0):
        prepared = adapter.prepare(_video(6, pace=pace), "What?")
        times = prepared.positions[0, 0, prepared.visual].unique()
        assert times.diff().tolist() == [int(rate * 2 / pace)] * 2


@every_family
@every_length
def test_every_frame_has_its_grid(name: str, frames: int) -> None:
    layout = _adapter(name).prepare(_video(frames), "What?").layout
    deep = 1 if name == "llava_onevision" else 2
    assert [grid.frame for grid in layout.grids] == list(range(0, frames, deep))
    assert len({grid.id for grid in layout.grids}) == len({g.label for g in layout.grids})
    boxes, _, grid_of = places(layout)
    assert np.isfinite(boxes[grid_of >= 0]).all()
    ends = [layout.n - 1] if name == "llava_onevision" else []
    assert np.flatnonzero(grid_of < 0).tolist() == ends


def test_labels_name_the_frames() -> None:
    def labels(name: str) -> list[str]:
        layout = _adapter(name).prepare(_video(3), "What?").layout
        return [grid.label for grid in layout.grids]

    assert labels("llava_onevision") == ["Frame 1", "Frame 2", "Frame 3"]
    assert labels("qwen2_vl") == ["Frames 1 to 2", "Frame 3"]


@every_family
@pytest.mark.parametrize("painted", [0, 3, 4])
def test_painting_one_frame_changes_its_tokens_alone(name: str, painted: int) -> None:
    adapter, media = _adapter(name), _video(5)
    frames = list(media.frames)
    frames[painted] = Image.new("RGB", media.size, (250, 20, 120))
    prepared = adapter.prepare(media, "What?")
    before = adapter.encode(prepared)
    after = adapter.encode(adapter.prepare(Media(tuple(frames), media.times, "video"), "What?"))
    changed = (before - after).abs().amax(1) > 1e-4
    grid = [grid for grid in prepared.layout.grids if grid.frame <= painted][-1]
    expected = torch.zeros_like(changed)
    expected[grid.offset : grid.offset + grid.rows * grid.stride] = True
    assert torch.equal(changed, expected)


@pytest.mark.parametrize(("crop", "patch"), [(32, 8), (40, 8), (46, 8)])
def test_pooled_tokens_of_llava_onevision_lie_where_they_are_read(crop: int, patch: int) -> None:
    """Pool the patches' own centres as the model pools features: the rectangles' centres."""
    model, ready = tiny.model(tile=crop, patch=patch), tiny.processor(crop, patch)
    adapter, width, height = ADAPTERS["llava_onevision"](model, ready), 70, 50
    layout = adapter.prepare(_video(1, (width, height)), "What?").layout
    side = crop // patch
    centres = (torch.arange(side) + 0.5) * patch
    down, across = torch.meshgrid(centres * height / crop, centres * width / crop, indexing="ij")
    pooled = model.model.apply_pooling(torch.stack([across, down], -1).reshape(1, side**2, 2))[0]
    boxes, _, _ = places(layout)
    middles = np.stack([boxes[:-1, [0, 2]].mean(1), boxes[:-1, [1, 3]].mean(1)], 1)
    # Interpolation cannot reach beyond the centres of the outermost patches.
    np.testing.assert_allclose(middles, pooled.numpy(), atol=1e-3)


@every_family
def test_the_overlay_and_the_page_read_frames(name: str) -> None:
    media = _video(4)
    layout = _adapter(name).prepare(media, "What?").layout
    ranks = torch.arange(layout.n)
    asked = Asked("1", media, "What?", 0.5, "a.png", Sides(None, IWP(), layers=tiny.LAYERS))
    session: Any = None
    event = Ranked(session, layout, Ranking(ranks, ranks.float()))
    drawn = token_map.ranked(asked, event)
    assert [grid.label for grid in drawn.grids] == [grid.label for grid in layout.grids]
    for grid in layout.grids:
        shown = overlay.render(media, layout, ranks, layout.n, grid=grid.id)
        assert np.array_equal(np.asarray(shown)[0, 0], np.asarray(media.frames[grid.frame])[0, 0])


def _stock(adapter: Adapter, name: str) -> tuple[list[int], Tensor]:
    inputs = _theirs(name, _video())
    made = adapter.model.generate(
        **inputs,
        max_new_tokens=12,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    return made.sequences[0, inputs["input_ids"].shape[1] :].tolist(), made.logits[0][0]


def _own(adapter: Adapter, pruner: Any = None) -> tuple[list[int], Tensor]:
    prepared = adapter.prepare(_video(), "What?")
    inputs = adapter.inputs(prepared, adapter.encode(prepared))
    state = generate.prefill(adapter.model, **inputs, pruner=pruner)
    return list(generate.decode(adapter.model, state, 12, adapter.stop_ids)), state.logits


@every_family
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_our_loop_answers_as_stock_generate(name: str, attention: str) -> None:
    adapter = _adapter(name, attention)
    theirs, logits = _stock(adapter, name)
    ours, first = _own(adapter)
    assert ours == theirs
    torch.testing.assert_close(first, logits, rtol=0, atol=1e-4)


@every_family
@pytest.mark.parametrize("pruner", [IWP(0.3, layer=0), IWP(0.5, layer=1), Random(0.4)], ids=str)
def test_our_pruned_loop_answers_as_stock_generate(name: str, pruner: Any) -> None:
    adapter = _adapter(name)
    with prune(adapter.model, pruner) as trace:
        theirs, logits = _stock(adapter, name)
    ours, first = _own(adapter, pruner)
    assert len(trace.cuts[0].kept) < trace.n_visual[0]
    assert ours == theirs
    torch.testing.assert_close(first, logits, rtol=0, atol=1e-4)


@every_family
def test_a_typed_placeholder_is_plain_text(name: str) -> None:
    adapter = _adapter(name)
    typed = f"Is {adapter.processor.video_token} here?"
    prepared = adapter.prepare(_video(), typed)
    assert len(prepared.visual) == prepared.layout.n
    assert typed in adapter.decode_text(prepared.input_ids[0].tolist())


def test_every_family_says_how_many_frames_it_is_shown() -> None:
    pace = [_adapter(name).sampling for name in ("qwen2_vl", "qwen2_5_vl")]
    assert pace == [Sampling(64, 2.0, 4)] * 2
    assert _adapter("llava_onevision").sampling == Sampling(32)
    for config, frames in (
        (LlavaOnevisionConfig(), 32),  # the published sizes
        (AutoConfig.from_pretrained(DEMO_FOLDER), 16),
    ):
        adapter = ADAPTERS["llava_onevision"](SimpleNamespace(config=config), None)
        assert adapter.sampling == Sampling(frames)


def test_a_sampling_counts_frames() -> None:
    assert [Sampling(8).count(seconds) for seconds in (0.0, 1.0, 3600.0)] == [8, 8, 8]
    counts = [Sampling(64, 2.0, 4).count(seconds) for seconds in (0.0, 1.0, 2.7, 10.0, 3600.0)]
    assert counts == [4, 4, 5, 20, 64]


@pytest.mark.parametrize("name", OTHERS)
def test_other_families_refuse_videos(name: str) -> None:
    assert not _adapter(name).reads_clips
    with pytest.raises(InputError, match="still pictures"):
        _ = _adapter(name).sampling
    with pytest.raises(InputError, match="still pictures"):
        _adapter(name).prepare(_video(), "What?")


def test_what_does_not_fit_the_layout_is_refused() -> None:
    ready = tiny.processor()
    ready.video_processor.size = {"height": 32, "width": 48}
    with pytest.raises(ModelError, match="not supported"):
        ADAPTERS["llava_onevision"](tiny.model(), ready).prepare(_video(), "What?")
    with pytest.raises(InputError, match="too long"):
        _adapter("qwen2_vl").prepare(_video(2, (1, 300)), "What?")
