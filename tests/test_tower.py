"""What is read of a vision tower, against what its own eager kernel computes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from iwp import tower as towers
from iwp.adapters import ADAPTERS, Adapter
from iwp.errors import IWPError, ModelError
from iwp.media import open_picture
from iwp.prompt import separators
from iwp.tower import TOWERS, received, watch_of
from iwp.types import Media, Tower
from tests import tiny
from tests.families import FAMILIES
from tests.listening import attention_of, tower_of

SIZES = [(70, 50), (50, 71), (33, 33), (300, 40), (500, 400)]
CLIPS = ("llava_onevision", "qwen2_vl", "qwen2_5_vl")
NEAR = 1e-5

families = pytest.mark.parametrize("family", FAMILIES)


@cache
def adapter(family: str, attention: str = "sdpa") -> Adapter:
    torch.manual_seed(0)  # for the weights that the tiny models leave to transformers
    return ADAPTERS[family](FAMILIES[family].model(attention), FAMILIES[family].processor())


def agree(ours: Tower | None, truth: Tower | None) -> None:
    assert ours is not None
    assert truth is not None
    assert ours.saliency.shape == truth.saliency.shape
    assert ours.keys.shape == truth.keys.shape
    assert (ours.saliency - truth.saliency).abs().max() < NEAR * truth.saliency.abs().max()
    assert (ours.keys - truth.keys).abs().max() < NEAR * truth.keys.abs().max()


# --- the attention that a patch receives -----------------------------------------------------


@pytest.mark.parametrize("entries", [1, 50, 1 << 24])
@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (1, 9), (30, 30)])
def test_chunks_are_the_whole_table(
    monkeypatch: pytest.MonkeyPatch, entries: int, queries: int, keys: int
) -> None:
    monkeypatch.setattr(received, "_ENTRIES", entries)
    q, k = 2 * torch.randn(3, queries, 8), 2 * torch.randn(3, keys, 8)
    table = (q.double() @ k.double().mT / 8**0.5).softmax(dim=-1)
    ours = received.received(q, k)
    assert ours.dtype == torch.float32
    assert (ours - table.mean(dim=(0, 1))).abs().max() < 1e-6


def test_memory_is_that_of_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "_ENTRIES", 4 * 2 * 50)
    tables: list[int] = []
    softmax = Tensor.softmax

    def noted(scores: Tensor, dim: int) -> Tensor:
        tables.append(scores.numel())
        return softmax(scores, dim=dim)

    monkeypatch.setattr(Tensor, "softmax", noted)
    received.received(torch.randn(2, 50, 4), torch.randn(2, 50, 4))
    assert max(tables) <= 4 * 2 * 50
    assert sum(tables) == 2 * 50 * 50


# --- families, packing included ----------------------------------------------------------------


@families
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_family_is_what_its_eager_kernel_computes(family: str, size: tuple[int, int]) -> None:
    eager = adapter(family, "eager")
    prepared = eager.prepare(open_picture(tiny.picture(*size)), "What?")
    truth = tower_of(family, eager.model, lambda: eager.encode(prepared), dict(prepared.vision))
    for kernel in ("eager", "sdpa"):
        features, ours = adapter(family, kernel).encode_and_look(prepared)
        assert torch.equal(features, adapter(family, kernel).encode(prepared))
        assert len(ours.saliency) == prepared.layout.n
        agree(ours, truth)


@pytest.mark.parametrize("family", CLIPS)
@pytest.mark.parametrize("frames", [1, 4, 5])
def test_clips(family: str, frames: int) -> None:
    eager = adapter(family, "eager")
    shown = tuple(tiny.picture(70, 50, seed=seed) for seed in range(frames))
    media = Media(shown, tuple(i / 2 for i in range(frames)), "video")
    prepared = eager.prepare(media, "What?")
    truth = tower_of(family, eager.model, lambda: eager.encode(prepared), dict(prepared.vision))
    features, ours = adapter(family).encode_and_look(prepared)
    assert torch.equal(features, adapter(family).encode(prepared))
    agree(ours, truth)


@pytest.mark.parametrize("family", ["llava_onevision", "llava_next"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_row_ends_and_only_they_are_zero(family: str, size: tuple[int, int]) -> None:
    plain = adapter(family)
    prepared = plain.prepare(open_picture(tiny.picture(*size)), "What?")
    features, ours = plain.encode_and_look(prepared)
    ends = separators(plain.model, features, torch.arange(len(features)))
    assert ends is not None
    assert len(ends) > 0
    assert (ours.saliency == 0).nonzero().flatten().tolist() == ends.tolist()
    assert (ours.keys == 0).all(dim=1).nonzero().flatten().tolist() == ends.tolist()


@families
def test_every_picture_shares_out_its_attention(family: str) -> None:
    """A check without any reference: what all patches receive adds up."""
    prepared = adapter(family).prepare(open_picture(tiny.picture(33, 33)), "What?")
    ours = adapter(family).encode_and_look(prepared)[1]
    whole = ours.saliency.sum().item()
    tokens = int((ours.saliency > 0).sum())
    if family == "llava_next":  # padding gets some, too, and is cut off
        tokens = 36 * prepared.vision["pixel_values"].shape[1]
    if family in ("llava", "llava_next", "internvl"):  # the class token keeps some for itself
        assert 0.1 * tokens < whole < tokens
    else:
        assert whole == pytest.approx(tokens, rel=1e-5)


@families
def test_under_uniform_attention_no_picture_is_more_salient(family: str) -> None:
    """Neither the number of patches nor that of crops counts, nor does padding."""
    model = FAMILIES[family].model()
    attention: Any = attention_of(family, model)
    for name, value in attention.named_parameters():
        if name.startswith(("q_proj", "qkv")):
            value.data.zero_()
    even = ADAPTERS[family](model, FAMILIES[family].processor())
    levels = set()
    for size in SIZES:
        prepared = even.prepare(open_picture(tiny.picture(*size)), "What?")
        saliency = even.encode_and_look(prepared)[1].saliency
        levels |= {round(level, 4) for level in saliency[saliency > 0].tolist()}
    (level,) = levels
    classes = family in ("llava", "llava_next", "internvl")  # a class token gets its part
    assert 0.9 < level < 1.0 if classes else level == 1.0


@pytest.mark.parametrize("family", ["idefics3", "smolvlm"])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_padding_gets_nothing(family: str, kernel: str) -> None:
    """These towers mask patches that only fill up a picture to the size of a larger one."""
    plain = adapter(family, kernel)
    prepared = plain.prepare(open_picture(tiny.picture()), "What?")
    mask = prepared.vision["pixel_attention_mask"].clone()
    mask[..., 12:, :] = 0  # 3 of the 8 rows of patches of every crop are left
    vision = {**prepared.vision, "pixel_attention_mask": mask}
    _, ours = plain.encode_and_look(replace(prepared, vision=vision))
    rows = ours.saliency.view(-1, 4, 4)  # a token for 2 x 2 patches
    assert (rows[:, :2] > 0).all()
    assert (rows[:, 2:] == 0).all()
    assert torch.allclose(4 * rows.sum(dim=(1, 2)), torch.full((len(rows),), 24.0))


@families
def test_half_precision_gives_single_precision(family: str) -> None:
    model = FAMILIES[family].model().to(torch.bfloat16)
    half = ADAPTERS[family](model, FAMILIES[family].processor())
    prepared = half.prepare(open_picture(tiny.picture()), "What?")
    features, ours = half.encode_and_look(prepared)
    assert features.dtype == torch.bfloat16
    assert ours.saliency.dtype == ours.keys.dtype == torch.float32
    exact = adapter(family).encode_and_look(prepared)[1]
    assert (ours.saliency - exact.saliency).abs().max() < 0.1 * exact.saliency.max()


# --- the model stays as it is -------------------------------------------------------------------


def state_of(model: Any) -> list[Any]:
    return [
        (set(vars(module)), len(module._forward_pre_hooks), len(module._forward_hooks))
        for module in model.modules()
    ]


@families
def test_the_model_is_as_it_was_also_after_an_error(
    monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    plain = adapter(family)
    prepared = plain.prepare(open_picture(tiny.picture()), "What?")
    before = state_of(plain.model)
    plain.encode_and_look(prepared)
    assert state_of(plain.model) == before

    def broken(*_: Any) -> Tensor:
        raise RuntimeError("stop")

    monkeypatch.setattr(type(plain), "encode", broken)
    with pytest.raises(RuntimeError, match="stop"):
        plain.encode_and_look(prepared)
    assert state_of(plain.model) == before


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl"])
def test_what_other_threads_encode_is_not_ours(family: str) -> None:
    """Neither before our picture is through the tower nor after that."""
    plain = adapter(family)
    ours, other = (
        plain.prepare(open_picture(tiny.picture(*size)), "What?") for size in ((70, 50), (500, 400))
    )

    def stranger(*_: Any) -> None:
        thread = threading.Thread(target=plain.encode, args=(other,))
        thread.start()
        thread.join()

    with watch_of(plain.model).watching() as watch:
        with attention_of(family, plain.model).register_forward_hook(once(stranger)):
            plain.encode(ours)
        stranger()
        (seen,) = watch.take([ours.layout.n])
    agree(seen, plain.encode_and_look(ours)[1])


def once(call: Callable[..., None]) -> Callable[..., None]:
    """The same, but nothing from the second time on."""
    left = [call]

    def first(*args: Any) -> None:
        if left:
            left.pop()(*args)

    return first


# --- refusals -------------------------------------------------------------------------------------


def test_every_family_of_the_adapters_can_be_looked_into() -> None:
    assert set(TOWERS) == set(ADAPTERS)


def test_unknown_towers_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model()
    monkeypatch.setattr(model.config, "vision_feature_layer", 0)
    with pytest.raises(ModelError, match="before its tower's first attention"):
        watch_of(model)
    monkeypatch.setattr(model.config, "vision_feature_layer", -1)
    monkeypatch.setattr(model.model.vision_tower, "encoder", torch.nn.Identity())
    with pytest.raises(ModelError, match="finds no attention in the vision tower"):
        watch_of(model)
    monkeypatch.setattr(towers, "TOWERS", {})
    with pytest.raises(ModelError, match="models of type llava_onevision"):
        watch_of(model)


def test_tokens_that_the_tower_was_not_seen_encoding_are_refused() -> None:
    plain = adapter("llava")
    prepared = plain.prepare(open_picture(tiny.picture()), "What?")
    with watch_of(plain.model).watching() as watch:
        with pytest.raises(IWPError, match="let the model itself read"):
            watch.take([3])
        plain.encode(prepared)
        with pytest.raises(IWPError, match="encoding 36 visual tokens and the prompts have 35"):
            watch.take([35])
        with pytest.raises(IWPError, match="let the model itself read"):
            watch.take([36])  # what was refused is forgotten, too
