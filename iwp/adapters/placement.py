"""Where a model runs, in which numbers and with which attention kernel: decided before loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeAlias

import torch
from transformers import BitsAndBytesConfig
from transformers.utils import is_flash_attn_2_available

from iwp.errors import ModelError

DeviceMap: TypeAlias = "str | Mapping[str, int | str | torch.device]"

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_KERNELS = ("sdpa", "eager", "flash_attention_2")
_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass(frozen=True)
class Placement:
    """The choices of `iwp.adapters.load`, checked and with every default resolved.

    Attributes:
        device: where the model goes, or the main device of one that is divided.
        dtype: its floating-point type.
        attention: its attention kernel.
        device_map: how accelerate divides it over devices; None keeps it in one piece.
        four_bit: whether its weights are quantised to 4 bits while it is loaded.
    """

    device: torch.device
    dtype: torch.dtype
    attention: str
    device_map: DeviceMap | None = None
    four_bit: bool = False

    @classmethod
    def choose(
        cls,
        device: str | None,
        dtype: str | None,
        attention: str | None,
        device_map: DeviceMap | None,
        quantization: str | None,
    ) -> Placement:
        """Resolve what a person asked for; None or "" is the best choice for the machine.

        Raises:
            ModelError: a choice does not exist, or not on this machine.
        """
        if device and device_map:
            raise ModelError("Give device or device_map, not both.")
        if isinstance(device_map, str) and device_map and device_map not in _MAPS:
            raise ModelError(f"The device map {device_map!r} is not one of {', '.join(_MAPS)}.")
        place = _main_device(device_map) if isinstance(device_map, Mapping) else _device(device)
        number = _dtype(dtype, place)
        four_bit = _four_bit(quantization, place)
        return cls(
            place, number, _attention(attention, place, number), device_map or None, four_bit
        )

    def options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments of `from_pretrained` for a checkpoint with this config.json."""
        options: dict[str, Any] = {"dtype": self.dtype, "attn_implementation": self.attention}
        if self.four_bit:
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=self.dtype,
            )
        if self.device_map is not None:
            options["device_map"] = self.device_map
        elif self.four_bit or "quantization_config" in config:
            # Quantised weights are made on the device where they stay.
            options["device_map"] = {"": str(self.device)}
        return options

    def settle(self, model: Any) -> Any:
        """Move a model that was loaded with `options` to its device, unless it is there."""
        if self.device_map is not None or getattr(model, "is_quantized", False):
            return model
        return model.to(self.device)


def _device(device: str | None) -> torch.device:
    try:
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise ModelError(f"There is no device {device!r}; try cpu or cuda.") from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"There is no GPU {place} on this machine; try cpu.")
    return place


def _main_device(device_map: Mapping[str, Any]) -> torch.device:
    """The first GPU of a map, or the CPU: what is on the disk is fetched to it."""
    names = [
        f"cuda:{place}" if isinstance(place, int) else str(place) for place in device_map.values()
    ]
    return _device(next((name for name in names if name.startswith("cuda")), "cpu"))


def _dtype(dtype: str | None, device: torch.device) -> torch.dtype:
    if not dtype:
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if dtype not in _DTYPES:
        raise ModelError(f"The number type {dtype!r} is not one of {', '.join(_DTYPES)}.")
    return _DTYPES[dtype]


def _attention(attention: str | None, device: torch.device, dtype: torch.dtype) -> str:
    if not attention:
        fits = device.type == "cuda" and dtype != torch.float32
        # compute capability 8 (Ampere) is the oldest that FlashAttention 2 runs on
        if fits and is_flash_attn_2_available():
            fits = torch.cuda.get_device_capability(device)[0] >= 8
            return "flash_attention_2" if fits else "sdpa"
        return "sdpa"
    if attention not in _KERNELS:
        raise ModelError(f"The attention kernel {attention!r} is not one of {', '.join(_KERNELS)}.")
    return attention


def _four_bit(quantization: str | None, device: torch.device) -> bool:
    if not quantization:
        return False
    if quantization != "4bit":
        raise ModelError(f"The quantization {quantization!r} is not known; there is 4bit.")
    if find_spec("bitsandbytes") is None:
        raise ModelError("4-bit weights need the package bitsandbytes: pip install bitsandbytes.")
    if device.type != "cuda":
        raise ModelError("4-bit weights need a GPU: leave quantization out to run on the CPU.")
    return True
