"""LLaVA, LLaVA-NeXT, InternVL, Idefics3 and SmolVLM against their own processors and models."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import iwp
from iwp.adapters import ADAPTERS, VLM, Adapter, load
from iwp.adapters.base import Prepared
from iwp.errors import InputError, ModelError
from iwp.generate import decode, prefill
from iwp.types import Media
from tests import tiny
from tests.families import FAMILIES
from tests.painting import inside, places, ramps

NAMES = ("llava", "llava_next", "internvl", "idefics3", "smolvlm")
SIZES = [
    (96, 96), (70, 50), (50, 70), (300, 299), (640, 480), (333, 77), (77, 333), (500, 60),
    (1201, 799), (48, 480), (33, 35),
]  # fmt: skip
QUESTIONS = ["What is it?", "1 + 1 = ?", "Größe 你好 👩\u200d🚀\nand more", " spaces  "]
TYPED = ["<image>", "Is <IMG_CONTEXT> a <s>?", "</s><|im_end|>\n<end_of_utterance><row_1_col_1>"]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def vlm(name: str, tmp_path_factory: pytest.TempPathFactory) -> VLM:
    folder = FAMILIES[name].save(tmp_path_factory.mktemp("tiny") / name)
    return load(str(folder), device="cpu")


@pytest.fixture(scope="module")
def seeing(name: str) -> Adapter:
    """An adapter whose model passes the mean colours of the patches on: features are (n, 3)."""
    family = FAMILIES[name]
    network, processor = family.model(), family.processor()
    processor.image_processor.do_rescale = processor.image_processor.do_normalize = False
    inner = network.model
    if hasattr(inner, "connector"):
        inner.vision_model = _MeanColours(network.config.vision_config, first=0)
        inner.connector.modality_projection = _Fold()
    else:
        inner.vision_tower = _MeanColours(network.config.vision_config, first=1)
        inner.multi_modal_projector = _Fold()
    if hasattr(inner, "image_newline"):
        inner.image_newline = nn.Parameter(torch.full((3,), torch.nan), requires_grad=False)
    return ADAPTERS[name](network, processor)


@pytest.fixture(scope="module")
def local(name: str) -> Adapter:
    """An adapter whose tower hardly lets its patches look at each other."""
    network = FAMILIES[name].model()
    for part, weight in network.named_parameters():
        if "vision" in part and ("out_proj" in part or "projection_layer" in part):
            weight.mul_(0.1)
    return ADAPTERS[name](network, FAMILIES[name].processor())


class _MeanColours(nn.Module):
    """A vision tower that only averages: (B, 3, H, W) -> (B, first + patches, 3)."""

    def __init__(self, config: Any, first: int) -> None:
        super().__init__()
        side = config.patch_size
        self.patch = side if isinstance(side, int) else side[0]
        self.first = first

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> SimpleNamespace:
        patches = nn.functional.avg_pool2d(pixel_values, self.patch).flatten(2).transpose(1, 2)
        extra = patches.new_zeros(len(patches), self.first, 3)
        rows = torch.cat((extra, patches), dim=1)
        return SimpleNamespace(last_hidden_state=rows, hidden_states=[rows] * 4)


class _Fold(nn.Module):
    """A projector that averages the patches that were put into one token."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.unflatten(-1, (-1, 3)).mean(dim=-2)


def _media(width: int = 70, height: int = 50, seed: int = 0) -> Media:
    return Media((tiny.picture(width, height, seed),))


def _colours(adapter: Adapter, picture: np.ndarray) -> np.ndarray:
    """(n, 3) mean colour of what each visual token of a picture (H, W, 3) is made from."""
    options = {"crop_to_patches": True} if adapter.model_type == "internvl" else {}
    made = adapter.processor.image_processor(
        [picture.transpose(2, 0, 1)],
        return_tensors="pt",
        input_data_format="channels_first",
        **options,
    )
    known = ("pixel_values", "image_sizes", "pixel_attention_mask")
    vision = {key: made[key] for key in known if key in made}
    height, width, _ = picture.shape
    nothing = torch.zeros(0, dtype=torch.long)
    prepared = Prepared(nothing[None], nothing, adapter.layout(width, height), vision)
    return adapter.encode(prepared).numpy()


# --- the layout ------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_each_token_lies_where_the_processor_took_it_from(
    seeing: Adapter, width: int, height: int
) -> None:
    layout = seeing.layout(width, height)
    colours = _colours(seeing, ramps(width, height))
    boxes, newline, grid_of = places(layout)

    assert len(colours) == layout.n
    assert (grid_of >= 0).all()
    np.testing.assert_array_equal(np.isnan(colours[:, 0]), newline)
    placed = ~np.isnan(boxes[:, 0])
    coverage = colours[:, 2]
    assert (np.abs(coverage[~placed & ~newline]) < 1e-6).all(), "a token got no place"
    assert (coverage[placed] > 0).all()
    assert (boxes[placed] >= 0).all()
    assert (boxes[placed] <= np.array([width, height, width, height]) + 1e-9).all()

    for index in range(len(layout.grids)):
        here = placed & (grid_of == index)
        box = boxes[here]
        centre = colours[here, :2] / coverage[here, None]
        off = np.abs(centre - (box[:, :2] + box[:, 2:]) / 2)
        side = (box[:, 2:] - box[:, :2]).max(axis=0)
        # resampling bends a ramp only within its reach of the picture's border
        reach = np.maximum(side, 4)
        inner = inside(box, width, height, margin=reach)
        assert off[inner].max(initial=0) < 0.02
        assert (off <= 0.3 * reach).all()


@pytest.mark.parametrize(("width", "height"), SIZES[3:9])
def test_painting_a_cell_changes_its_token_most(local: Adapter, width: int, height: int) -> None:
    """Through the real image processor and the real tower."""
    media = _media(width, height)
    prepared = local.prepare(media, "What?")
    before = local.encode(prepared)
    boxes, newline, grid_of = places(prepared.layout)
    pixels = np.asarray(media.frames[0])
    for index in range(len(prepared.layout.grids)):
        areas = np.ptp(boxes[:, ::2], axis=1) * np.ptp(boxes[:, 1::2], axis=1)
        here = grid_of == index
        tokens = np.flatnonzero(here & (areas > 0.9 * np.nanmax(areas[here])))
        for token in np.random.default_rng(0).choice(tokens, 3, replace=False):
            x0, y0, x1, y1 = np.rint(boxes[token]).astype(int)
            painted = pixels.copy()
            painted[y0:y1, x0:x1] = 255 - painted[y0:y1, x0:x1] // 4
            changed = Image.fromarray(painted)
            after = local.encode(local.prepare(Media((changed,)), "What?"))
            change = (after - before).norm(dim=1).numpy()
            change[newline | (grid_of != index)] = 0
            assert change.argmax() == token


# --- the prompt --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(70, 50), (50, 70), (32, 32), (500, 60)])
@pytest.mark.parametrize("question", QUESTIONS)
def test_ids_and_pixels_are_those_of_the_processor(
    name: str, vlm: VLM, size: tuple[int, int], question: str
) -> None:
    content = [{"type": "image"}, {"type": "text", "text": question}]
    turn = [{"role": "user", "content": content}]
    text = vlm.processor.apply_chat_template(turn, add_generation_prompt=True)
    theirs = vlm.processor(text=text, images=[tiny.picture(*size)], return_tensors="pt")
    ours = vlm.adapter.prepare(_media(*size), question)
    assert ours.input_ids.tolist() == theirs["input_ids"].tolist()
    assert len(ours.visual) == ours.layout.n
    assert (ours.layout.width, ours.layout.height) == size
    assert set(ours.vision) == set(theirs) - {"input_ids", "attention_mask"}
    for key, value in ours.vision.items():
        torch.testing.assert_close(value, theirs[key])


@pytest.mark.parametrize("question", TYPED)
def test_special_tokens_in_a_question_are_plain_text(vlm: VLM, question: str) -> None:
    special = set(vlm.processor.tokenizer.get_added_vocab().values())

    def specials(text: str) -> list[int]:
        ids = vlm.adapter.prepare(_media(), text).input_ids[0].tolist()
        return [number for number in ids if number in special]

    assert specials(question) == specials("what")
    assert question in vlm.adapter.decode_text(
        vlm.adapter.prepare(_media(), question).input_ids[0].tolist()
    )


def test_a_begin_token_that_the_tokenizer_adds_is_there_once() -> None:
    family = FAMILIES["llava"]
    adapter = ADAPTERS["llava"](family.model(), family.processor())
    begin = adapter.processor.tokenizer.bos_token_id
    for question in ("What?", "<image>"):
        ids = adapter.prepare(_media(), question).input_ids[0].tolist()
        assert ids[0] == begin
        assert ids.count(begin) == 1
    template = adapter.processor.chat_template
    adapter.processor.chat_template = "{{ '<s>' }}" + template
    assert adapter.prepare(_media(), "What?").input_ids[0].tolist().count(begin) == 1


def test_text_stands_between_the_tiles_of_idefics3() -> None:
    family = FAMILIES["idefics3"]
    adapter = ADAPTERS["idefics3"](family.model(), family.processor())
    visual = adapter.prepare(_media(96, 64), "What?").visual
    gaps = visual.diff()
    size = adapter.layout(96, 64).grids[0].cols ** 2
    assert (gaps > 1).nonzero().flatten().tolist() == [size * k - 1 for k in range(1, 7)]


def test_video_is_refused(vlm: VLM) -> None:
    frames = Media((tiny.picture(),) * 2, (0.0, 1.0), "video")
    with pytest.raises(InputError, match="still pictures"):
        vlm.adapter.prepare(frames, "What?")


# --- the features and the answer ---------------------------------------------------------


@pytest.mark.parametrize("size", [(70, 50), (300, 299), (48, 480)])
def test_encode_and_embed_give_what_the_model_makes_of_the_inputs(
    name: str, vlm: VLM, size: tuple[int, int]
) -> None:
    seen = []
    hook = vlm.model.get_decoder().register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    family = FAMILIES[name]
    inputs = _inputs(vlm, "What?", size)
    with hook, torch.inference_mode():
        vlm.model(**inputs)
    prepared = vlm.adapter.prepare(_media(*size), "What?")
    features = vlm.adapter.encode(prepared)
    assert features.shape == (prepared.layout.n, 64)
    torch.testing.assert_close(vlm.adapter.embed(prepared, features), seen[0], rtol=0, atol=1e-5)
    assert len(vlm.adapter.decoder_layers) == family.layers


def _inputs(vlm: VLM, question: str, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    content = [{"type": "image"}, {"type": "text", "text": question}]
    turn = [{"role": "user", "content": content}]
    text = vlm.processor.apply_chat_template(turn, add_generation_prompt=True)
    return dict(vlm.processor(text=text, images=[tiny.picture(*size)], return_tensors="pt"))


@pytest.mark.parametrize("budget", [None, 1.0, 0.222])
@pytest.mark.parametrize("layer", [1, 4])
def test_our_loop_says_what_generate_says(vlm: VLM, budget: float | None, layer: int) -> None:
    pruner = None if budget is None else iwp.IWP(budget=budget, layer=layer)
    inputs = _inputs(vlm, "What is it?", (70, 50))
    options = {"max_new_tokens": 12, "do_sample": False}
    if pruner is None:
        output = vlm.model.generate(**inputs, **options)
    else:
        with iwp.prune(vlm.model, pruner):
            output = vlm.model.generate(**inputs, **options)
    theirs = output[0, inputs["input_ids"].shape[1] :].tolist()

    prepared = vlm.adapter.prepare(_media(), "What is it?")
    embeds = vlm.adapter.embed(prepared, vlm.adapter.encode(prepared))
    state = prefill(vlm.model, embeds, prepared.visual, pruner=pruner)
    ours = list(decode(vlm.model, state, 12, stop_ids=()))
    assert ours == theirs


def test_compare_runs_from_picture_to_answers(vlm: VLM) -> None:
    result = iwp.compare(vlm, tiny.picture(300, 200), "What is it?", budget=0.222)
    assert result.baseline.visual_tokens == result.n_visual == result.layout.n
    assert result.pruned.visual_tokens == iwp.keep_count(result.n_visual, 0.222)
    assert result.baseline.answer
    assert result.pruned.answer


# --- what is not supported ---------------------------------------------------------------


def test_a_pixtral_tower_is_refused() -> None:
    config = SimpleNamespace(vision_config=SimpleNamespace(model_type="pixtral"))
    with pytest.raises(ModelError, match="Pixtral"):
        ADAPTERS["llava"](SimpleNamespace(config=config), None)


def test_settings_that_the_layout_does_not_know_are_refused() -> None:
    family = FAMILIES["llava"]
    adapter = ADAPTERS["llava"](family.model(), family.processor())
    adapter.processor.vision_feature_select_strategy = "full"
    with pytest.raises(ModelError, match="not supported"):
        adapter.prepare(_media(), "What?")
