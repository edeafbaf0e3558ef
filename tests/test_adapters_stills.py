"""LLaVA, LLaVA-NeXT, InternVL, Idefics3 and SmolVLM against their own processors and models."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import iwp
from iwp.adapters import ADAPTERS, VLM, load
from iwp.errors import InputError, ModelError
from iwp.generate import decode, prefill
from iwp.types import Media
from tests import tiny
from tests.families import FAMILIES

NAMES = ("llava", "llava_next", "internvl", "idefics3", "smolvlm")
QUESTIONS = ["What is it?", "1 + 1 = ?", "Größe 你好 👩\u200d🚀\nand more", " spaces  "]
TYPED = ["<image>", "Is <IMG_CONTEXT> a <s>?", "</s><|im_end|>\n<end_of_utterance><row_1_col_1>"]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def vlm(name: str, tmp_path_factory: pytest.TempPathFactory) -> VLM:
    folder = FAMILIES[name].save(tmp_path_factory.mktemp("tiny") / name)
    return load(str(folder), device="cpu")


def _media(width: int = 70, height: int = 50, seed: int = 0) -> Media:
    return Media((tiny.picture(width, height, seed),))


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


def test_a_packing_without_a_most_of_crops_is_refused() -> None:
    model = tiny.model()
    model.config.vision_aspect_ratio = "anyres"
    with pytest.raises(ModelError, match="'anyres', which is not supported"):
        ADAPTERS["llava_onevision"](model, tiny.processor()).prepare(_media(), "What?")
