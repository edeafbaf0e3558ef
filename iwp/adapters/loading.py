"""From a model's name to a loaded `VLM`. Whatever goes wrong is told in one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import constants as hub
from transformers import AutoModelForImageTextToText, AutoProcessor, PretrainedConfig
from transformers.utils import cached_file

from iwp.adapters.asking import quietly
from iwp.adapters.base import VLM, Adapter
from iwp.adapters.placement import Placement
from iwp.errors import ModelError

DEMO = "demo"
DEMO_FOLDER = Path(__file__).parents[2] / "assets" / "demo-model"
RECOMMENDED = "iwp.json"

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def read_model(
    model_id: str,
    families: Mapping[str, type[Adapter]],
    placement: Placement,
    revision: str | None = None,
) -> VLM:
    """Load a model of one of these families. See `iwp.adapters.load` for the rest."""
    source, name = locate(model_id)
    if revision and Path(source).is_dir():
        raise ModelError(f"The model {name} is a folder, which has no revisions: leave it out.")
    # Never code from a checkpoint: transformers' own classes read it, or nothing does.
    origin: dict[str, Any] = {"revision": revision or "main", "trust_remote_code": False}
    config = _config(source, name, revision)
    family = _family(config, name, families)
    advice = recommended(source, revision)
    try:
        processor = AutoProcessor.from_pretrained(source, **origin)
        model = AutoModelForImageTextToText.from_pretrained(
            source, **origin, **placement.options(config)
        )
    except ImportError as error:
        raise ModelError(f"The model {name} needs a package: {_sentence(error)}") from error
    except Exception as error:  # damaged files fail in as many ways as there are file formats
        raise ModelError(f"The model {name} cannot be loaded: {_sentence(error)}") from error
    try:
        model = placement.settle(model).eval().requires_grad_(False)
    except (RuntimeError, AssertionError) as error:  # no driver, or not enough memory
        raise ModelError(
            f"The device {placement.device} cannot hold {name}: {_sentence(error)}"
        ) from error
    adapter = family(model, processor)
    return VLM(model, processor, adapter, name, adapter.device, placement.attention, advice)


def check(
    model_id: str, families: Mapping[str, type[Adapter]], revision: str | None = None
) -> None:
    """Refuse a model that cannot be loaded, as far as its name and its config tell.

    Raises:
        ModelError: there is no such model, or its family is unknown.
    """
    source, name = locate(model_id)
    _family(_config(source, name, revision), name, families)


def locate(model_id: str) -> tuple[str, str]:
    """What transformers is to open, and what people are shown.

    Raises:
        ModelError: there is no such folder, and the name is none of the Hub's.
    """
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


def _config(source: str, name: str, revision: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {}
    with quietly(), suppress(Exception):  # no network, no such repository, no file, or not JSON
        config = PretrainedConfig.get_config_dict(source, revision=revision)[0]
    if config:
        return config
    if Path(source).is_dir():
        raise ModelError(
            f"The folder {name} holds no model: its config.json is missing or unreadable."
        )
    wanted = f"{name} at revision {revision}" if revision else name
    if hub.HF_HUB_OFFLINE:
        raise ModelError(
            f"The model {wanted} is not on this machine, and HF_HUB_OFFLINE keeps IWP from asking "
            "the Hub: unset it, or give a local folder."
        )
    raise ModelError(
        f"The model {wanted} is neither on this machine nor to be had from the Hub; check its "
        "name and the network, or give a local folder."
    )


def _family(
    config: Mapping[str, Any], name: str, families: Mapping[str, type[Adapter]]
) -> type[Adapter]:
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in families:
        raise ModelError(
            f"The model {name} is of type {kind or 'unknown'}, which is not supported; supported: "
            f"{', '.join(sorted(families))}."
        )
    return families[kind]


def recommended(source: str, revision: str | None = None) -> dict[str, Any]:
    """IWP's settings that a model's own `iwp.json` names; empty where it has none.

    Raises:
        ModelError: the file cannot be read as such.
    """
    file = None
    with quietly(), suppress(Exception):  # most have none, and no network is no reason to fail
        file = cached_file(source, RECOMMENDED, revision=revision)
    if file is None:
        return {}
    try:
        settings = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The file {RECOMMENDED} of the model is not valid JSON.") from error
    if not isinstance(settings, dict):
        raise ModelError(f"The file {RECOMMENDED} of the model must hold names and values.")
    return settings


def _sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".") + "."
