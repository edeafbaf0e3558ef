"""Model families, by `config.model_type`, and `load`, which picks one."""

from __future__ import annotations

from iwp.adapters import loading
from iwp.adapters.base import VLM, Adapter, Prepared
from iwp.adapters.idefics3 import Idefics3, SmolVLM
from iwp.adapters.internvl import InternVL
from iwp.adapters.llava import Llava
from iwp.adapters.llava_next import LlavaNext
from iwp.adapters.llava_onevision import LlavaOnevision
from iwp.adapters.loading import DEMO, read_model
from iwp.adapters.placement import DeviceMap, Placement
from iwp.adapters.qwen2_5_vl import Qwen2_5VL
from iwp.adapters.qwen2_vl import Qwen2VL
from iwp.adapters.qwen3_vl import Qwen3VL

__all__ = ["ADAPTERS", "DEMO", "VLM", "Adapter", "Prepared", "check", "load"]

ADAPTERS: dict[str, type[Adapter]] = {
    family.model_type: family
    for family in (
        LlavaOnevision,
        Qwen2VL,
        Qwen2_5VL,
        Qwen3VL,
        Llava,
        LlavaNext,
        InternVL,
        Idefics3,
        SmolVLM,
    )
}


def load(
    model_id: str = DEMO,
    *,
    device: str | None = None,
    dtype: str | None = None,
    attention: str | None = None,
    device_map: DeviceMap | None = None,
    revision: str | None = None,
    quantization: str | None = None,
) -> VLM:
    """Load a vision-language model with its processor; code from a checkpoint is never run.

    Args:
        model_id: "demo" for the small model that comes with IWP, a local folder, or a Hub id
            such as "llava-hf/llava-onevision-qwen2-7b-ov-hf".
        device: such as "cpu" or "cuda:0"; None or "" for a GPU if there is one.
        dtype: "float32", "bfloat16" or "float16"; None or "" for bfloat16 on a GPU (float16 on
            one without bfloat16) and float32 on a CPU.
        attention: "sdpa", "eager" or "flash_attention_2"; None or "" for flash_attention_2 where
            it is installed and the GPU supports it, else sdpa.
        device_map: "auto" to divide the model over all GPUs, the CPU and the disk, or a dict from
            module names to devices, as accelerate takes them; instead of `device`.
        revision: branch, tag or commit of a Hub model; None or "" for its main branch. A commit
            pins the files.
        quantization: "4bit" to quantise the weights while loading, which needs a GPU and the
            package bitsandbytes; None or "" loads them as they are.

    Raises:
        ModelError: there is no such model, or it cannot be loaded or is not supported.
    """
    placement = Placement.choose(device, dtype, attention, device_map, quantization)
    return read_model(model_id, ADAPTERS, placement, revision or None)


def check(model_id: str, revision: str | None = None) -> None:
    """Refuse a model before anything of it is loaded, as far as its name and its config tell.

    Args:
        model_id: as for `load`.
        revision: as for `load`.

    Raises:
        ModelError: there is no such model, or IWP does not know its family.
    """
    loading.check(model_id, ADAPTERS, revision or None)
