"""From a model's name to a loaded `VLM`. Whatever goes wrong is told in one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, PretrainedConfig
from transformers.utils import is_flash_attn_2_available

from iwp.adapters.base import VLM, Adapter
from iwp.errors import ModelError

DEMO = "demo"
DEMO_FOLDER = Path(__file__).parents[2] / "assets" / "demo-model"
RECOMMENDED = "iwp.json"

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_KERNELS = ("sdpa", "eager", "flash_attention_2")


def read_model(
    model_id: str,
    families: Mapping[str, type[Adapter]],
    *,
    device: str | None,
    dtype: str | None,
    attention: str | None,
) -> VLM:
    """Load a model of one of these families. See `iwp.adapters.load` for the rest."""
    source, name = _locate(model_id)
    family = _family(source, name, families)
    place = _device(device)
    number = _dtype(dtype, place)
    kernel = _attention(attention, place, number)
    recommended = _recommended(Path(source))
    try:
        processor = AutoProcessor.from_pretrained(source)
        model = AutoModelForImageTextToText.from_pretrained(
            source, dtype=number, attn_implementation=kernel
        )
    except ImportError as error:
        raise ModelError(f"The model {name} needs a package: {_sentence(error)}") from error
    except Exception as error:  # damaged files fail in as many ways as there are file formats
        raise ModelError(f"The model {name} cannot be loaded: {_sentence(error)}") from error
    try:
        model = model.to(place).eval().requires_grad_(False)
    except (RuntimeError, AssertionError) as error:  # no driver, or not enough memory
        raise ModelError(f"The device {place} cannot hold {name}: {_sentence(error)}") from error
    return VLM(model, processor, family(model, processor), name, place, kernel, recommended)


def _locate(model_id: str) -> tuple[str, str]:
    """What transformers is to open, and what people are shown."""
    if model_id == DEMO:
        if not DEMO_FOLDER.is_dir():
            raise ModelError(
                "The demo model is not here; run from a source checkout or name another model."
            )
        return str(DEMO_FOLDER), DEMO
    folder = Path(model_id).expanduser()
    if model_id and folder.is_dir():
        return str(folder), folder.resolve().name
    if folder.exists() or not _HUB_ID.fullmatch(model_id):
        raise ModelError(
            f"There is no model folder {model_id!r}; give a folder or a Hub id like owner/name."
        )
    return model_id, model_id


def _family(source: str, name: str, families: Mapping[str, type[Adapter]]) -> type[Adapter]:
    config: dict[str, Any] = {}
    with suppress(Exception):  # no network, no such repository, no file, or not JSON
        config = PretrainedConfig.get_config_dict(source)[0]
    if not config and Path(source).is_dir():
        raise ModelError(
            f"The folder {name} holds no model: its config.json is missing or unreadable."
        )
    if not config:
        raise ModelError(
            f"The model {name} is neither on this machine nor to be had from the Hub; check its "
            "name and the network, or give a local folder."
        )
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in families:
        raise ModelError(
            f"The model {name} is of type {kind or 'unknown'}, which is not supported; supported: "
            f"{', '.join(sorted(families))}."
        )
    return families[kind]


def _device(device: str | None) -> torch.device:
    try:
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise ModelError(f"There is no device {device!r}; try cpu or cuda.") from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"There is no GPU {place} on this machine; try cpu.")
    return place


def _dtype(dtype: str | None, device: torch.device) -> torch.dtype:
    if dtype is None:
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if dtype not in _DTYPES:
        raise ModelError(f"The number type {dtype!r} is not one of {', '.join(_DTYPES)}.")
    return _DTYPES[dtype]


def _attention(attention: str | None, device: torch.device, dtype: torch.dtype) -> str:
    if attention is None:
        fits = device.type == "cuda" and dtype != torch.float32
        # compute capability 8 (Ampere) is the oldest that FlashAttention 2 runs on
        if fits and is_flash_attn_2_available():
            fits = torch.cuda.get_device_capability(device)[0] >= 8
            return "flash_attention_2" if fits else "sdpa"
        return "sdpa"
    if attention not in _KERNELS:
        raise ModelError(f"The attention kernel {attention!r} is not one of {', '.join(_KERNELS)}.")
    return attention


def _recommended(folder: Path) -> dict[str, Any]:
    file = folder / RECOMMENDED
    if not file.is_file():
        return {}
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The file {RECOMMENDED} of the model is not valid JSON.") from error
    if not isinstance(settings, dict):
        raise ModelError(f"The file {RECOMMENDED} of the model must hold names and values.")
    return settings


def _sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".") + "."
