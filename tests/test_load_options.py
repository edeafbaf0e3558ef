"""Divided and quantised models, revisions and the Hub's cache, and no code from checkpoints."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import iwp
from iwp.adapters import load, placement
from iwp.adapters.loading import hub
from iwp.adapters.placement import Placement
from iwp.errors import ModelError
from tests import tiny
from tests.families import FAMILIES

NOWHERE = torch.device("cuda:0")  # asked of nobody: the tests need no GPU
OFFLOADED = ("model.language_model.layers.1", "model.language_model.layers.4", "lm_head")


def _map(model: Any, far: str) -> dict[str, str]:
    """Every module on the CPU, some of the decoder's `far` away."""
    names = [f"model.{name}" for name, _ in model.model.named_children()]
    names.remove("model.language_model")
    names += ["model.image_newline"] if hasattr(model.model, "image_newline") else []
    names += [f"model.language_model.{n}" for n in ("embed_tokens", "norm", "rotary_emb")]
    names += [f"model.language_model.layers.{i}" for i in range(tiny.LAYERS)] + ["lm_head"]
    return {name: far if name in OFFLOADED else "cpu" for name in names}


# --- divided models ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llava_onevision", "internvl"])
def test_a_divided_model_answers_like_the_undivided(name: str, tmp_path: Path) -> None:
    folder = str(FAMILIES[name].save(tmp_path / name))
    whole = load(folder, device="cpu")
    divided = load(folder, device_map=_map(whole.model, "disk"))
    away = divided.model.model.language_model.layers[1].self_attn.q_proj.weight
    assert away.device.type == "meta"
    assert divided.device == torch.device("cpu")
    results = [
        iwp.compare(vlm, tiny.picture(), "What is it?", budget=0.222, max_new_tokens=6)
        for vlm in (whole, divided)
    ]
    assert results[0].ranks == results[1].ranks
    for side in ("baseline", "pruned"):
        answers = [getattr(result, side).answer for result in results]
        assert answers[0] == answers[1] != ""


def test_embeddings_that_are_offloaded_name_the_device_they_are_fetched_to(
    tiny_folder: Path,
) -> None:
    places = _map(tiny.model(), "cpu") | {"model.language_model.embed_tokens": "disk"}
    vlm = load(str(tiny_folder), device_map=places)
    assert vlm.model.get_input_embeddings().weight.device.type == "meta"
    assert vlm.device == vlm.adapter.device == torch.device("cpu")


def test_auto_divides_over_what_there_is(tiny_folder: Path) -> None:
    vlm = load(str(tiny_folder), device_map="auto")
    assert vlm.device.type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "cpu", "device_map": "auto"}, "device or device_map"),
        ({"device_map": "everywhere"}, "'everywhere' is not one of auto"),
        ({"device_map": {"": "nowhere"}}, "cannot be loaded"),
        ({"quantization": "3bit"}, "'3bit' is not known"),
        ({"revision": "v1"}, "is a folder, which has no revisions"),
    ],
)
def test_choices_that_cannot_be(options: dict[str, Any], says: str, tiny_folder: Path) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        load(str(tiny_folder), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("places", "main"),
    [
        ({"a": "disk", "b": 1}, "cuda:1"),
        ({"a": "cuda:2", "b": "cpu"}, "cuda:2"),
        ({"": "cpu"}, "cpu"),
    ],
)
def test_the_main_device_of_a_map_is_its_first_gpu(
    places: dict[str, Any], main: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    chosen = Placement.choose(None, "float32", "sdpa", places, None)
    assert str(chosen.device) == main


@pytest.mark.parametrize(
    ("installed", "generation", "dtype", "kernel"),
    [
        (True, 8, "bfloat16", "flash_attention_2"),
        (True, 9, "float16", "flash_attention_2"),
        (True, 7, "float16", "sdpa"),
        (True, 9, "float32", "sdpa"),
        (False, 9, "bfloat16", "sdpa"),
    ],
)
def test_the_fastest_kernel_that_runs_is_chosen(
    installed: bool, generation: int, dtype: str, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (generation, 0))
    monkeypatch.setattr(placement, "is_flash_attn_2_available", lambda: installed)
    assert Placement.choose("cuda:0", dtype, None, None, None).attention == kernel
    assert Placement.choose("cuda:0", dtype, "eager", None, None).attention == "eager"


def test_a_kernel_that_is_not_installed_is_named(tiny_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"[Ff]lash") as caught:
        load(str(tiny_folder), device="cpu", dtype="bfloat16", attention="flash_attention_2")
    assert "\n" not in str(caught.value)


# --- 4 bits ----------------------------------------------------------------------------------


def test_four_bits_need_the_package_and_a_gpu(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install bitsandbytes"):
        load(str(tiny_folder), quantization="4bit")
    monkeypatch.setattr(placement, "find_spec", lambda _: SimpleNamespace())
    with pytest.raises(ModelError, match="need a GPU"):
        load(str(tiny_folder), device="cpu", quantization="4bit")


def test_four_bit_weights_are_made_where_they_stay() -> None:
    chosen = Placement(NOWHERE, torch.bfloat16, "sdpa", four_bit=True).options({})
    assert chosen["device_map"] == {"": "cuda:0"}
    assert chosen["quantization_config"].load_in_4bit
    assert chosen["quantization_config"].bnb_4bit_compute_dtype == torch.bfloat16
    divided = Placement(NOWHERE, torch.bfloat16, "sdpa", "auto", four_bit=True).options({})
    assert divided["device_map"] == "auto"


def test_a_quantised_checkpoint_stays_where_it_was_loaded() -> None:
    plain = Placement(NOWHERE, torch.float16, "sdpa")
    assert plain.options({"quantization_config": {}})["device_map"] == {"": "cuda:0"}
    assert "device_map" not in plain.options({})
    model = SimpleNamespace(is_quantized=True)
    assert plain.settle(model) is model


# --- the Hub's cache ---------------------------------------------------------------------------


@pytest.fixture
def cached(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model in a cache of the Hub, at commit 1111... of its branch main."""
    commit = "1" * 40
    repository = tmp_path / "models--owner--tiny"
    shutil.copytree(tiny_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    return "owner/tiny"


@pytest.mark.parametrize("revision", [None, "main", "1" * 40])
def test_a_cached_model_loads_without_the_hub(cached: str, revision: str | None) -> None:
    vlm = load(cached, device="cpu", revision=revision)
    assert vlm.name == cached


def test_a_revision_that_is_not_cached_is_not_replaced(cached: str) -> None:
    with pytest.raises(ModelError, match="owner/tiny at revision 2222") as caught:
        load(cached, device="cpu", revision="2" * 40)
    assert "\n" not in str(caught.value)


def test_advice_is_read_from_the_cache(cached: str, tmp_path: Path) -> None:
    snapshot = next((tmp_path / "models--owner--tiny" / "snapshots").iterdir())
    (snapshot / "iwp.json").write_text('{"layer": 2}')
    assert load(cached, device="cpu").pruner == {"layer": 2}


def test_without_offline_mode_the_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        "iwp.adapters.loading.PretrainedConfig.get_config_dict", lambda *_, **__: ({}, {})
    )
    with pytest.raises(ModelError, match="neither on this machine nor to be had from the Hub"):
        load("nobody/no-such-model", device="cpu")


# --- code from checkpoints -----------------------------------------------------------------------


def test_code_in_a_checkpoint_is_not_run(tiny_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "sly")
    trace = tmp_path / "was-run"
    (folder / "sly.py").write_text(f"open({str(trace)!r}, 'w').close()\nclass Sly: pass\n")
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        settings = json.loads((folder / name).read_text())
        kinds = ("AutoConfig", "AutoModelForImageTextToText", "AutoProcessor", "AutoImageProcessor")
        settings["auto_map"] = dict.fromkeys(kinds, "sly.Sly") | {
            "AutoTokenizer": ["sly.Sly", "sly.Sly"]
        }
        (folder / name).write_text(json.dumps(settings))
    assert load(str(folder), device="cpu").name == "sly"
    assert not trace.exists()
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "sly"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"type sly, which is not supported; supported: .*llava"):
        load(str(folder), device="cpu")
    assert not trace.exists()


def test_remote_code_is_never_trusted() -> None:
    sources = [file.read_text() for file in Path(iwp.__file__).parent.rglob("*.py")]
    values = re.findall(r"trust_remote_code\W+(\w+)", "\n".join(sources))
    assert set(values) == {"False"}
