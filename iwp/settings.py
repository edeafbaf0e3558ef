"""What an operator can set, and the only place where the environment is read and changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from iwp.errors import IWPError

_PREFIX = "IWP_"


@dataclass(frozen=True)
class Settings:
    """Each field can be set with an environment variable: `IWP_` and its name in capitals.

    The address of the page is not here: Gradio reads `GRADIO_SERVER_NAME` and
    `GRADIO_SERVER_PORT` itself.

    Attributes:
        model: "demo", a local folder or a Hub id.
        device: such as "cpu" or "cuda:0"; empty for the best one.
        dtype: "float32", "bfloat16" or "float16"; empty for what suits the device.
        attention: "sdpa", "eager" or "flash_attention_2"; empty for the fastest there is.
        device_map: "auto" divides a big model over the GPUs, the CPU and the disk; empty keeps it
            in one piece on `device`.
        quantization: "4bit" for weights of 4 bits (a GPU and bitsandbytes); empty for none.
        revision: branch, tag or commit of a Hub model; empty for its newest.
        max_new_tokens: longest answer.
        deadline_s: longest time that one comparison may hold the device.
        max_pixels: largest picture that is accepted.
        models: what visitors may load in place of `model`, as names like it; none keeps it.
        threads: CPU threads of a run. 0 chooses: one for small models, whose steps are so short
            that threads spend their time waiting for each other, and torch's default for the rest.
        fast_decode: whether the tokens of an answer are read in caches of fixed size, on a GPU as
            a CUDA graph, where the model allows. Not on ZeroGPU, whose device does not stay.
    """

    model: str = "demo"
    device: str = ""
    dtype: str = ""
    attention: str = ""
    device_map: str = ""
    quantization: str = ""
    revision: str = ""
    max_new_tokens: int = 64
    deadline_s: float = 300.0
    max_pixels: int = 40_000_000
    threads: int = 0
    models: tuple[str, ...] = ()
    fast_decode: bool = False

    def __post_init__(self) -> None:
        for name, lowest in (("max_new_tokens", 1), ("max_pixels", 1), ("threads", 0)):
            if getattr(self, name) < lowest:
                raise IWPError(f"{_PREFIX}{name.upper()} must be at least {lowest}.")
        if not self.deadline_s > 0:  # also refuses NaN
            raise IWPError(f"{_PREFIX}DEADLINE_S must be more than 0 seconds.")
        if self.dtype not in ("", "float32", "bfloat16", "float16"):
            raise IWPError(
                f"--dtype or {_PREFIX}DTYPE must be float32, bfloat16 or float16, "
                f"not {self.dtype!r}."
            )

    @property
    def loading(self) -> dict[str, str]:
        """The keyword arguments of `iwp.load` that are set, for `model`."""
        names = ("device", "dtype", "attention", "device_map", "quantization", "revision")
        return {name: getattr(self, name) for name in names if getattr(self, name)}

    def revision_of(self, source: str) -> str:
        """The revision to load a model at: `revision` is that of `model` alone."""
        return self.revision if source == self.model else ""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from environment variables; what is unset keeps its default.

        Raises:
            IWPError: a value cannot be used.
        """
        source = os.environ if environ is None else environ
        return cls(
            model=source.get("IWP_MODEL") or cls.model,
            device=source.get("IWP_DEVICE", cls.device),
            dtype=source.get("IWP_DTYPE", cls.dtype),
            attention=source.get("IWP_ATTENTION", cls.attention),
            device_map=source.get("IWP_DEVICE_MAP", cls.device_map),
            quantization=source.get("IWP_QUANTIZATION", cls.quantization),
            revision=source.get("IWP_REVISION", cls.revision),
            max_new_tokens=_whole(source, "IWP_MAX_NEW_TOKENS", cls.max_new_tokens),
            deadline_s=_number(source, "IWP_DEADLINE_S", cls.deadline_s),
            max_pixels=_whole(source, "IWP_MAX_PIXELS", cls.max_pixels),
            threads=_whole(source, "IWP_THREADS", cls.threads),
            models=_names(source, "IWP_MODELS"),
            fast_decode=_switch(source, "IWP_FAST_DECODE"),
        )


def check_port() -> None:
    """Refuse a port that Gradio would stumble over.

    Raises:
        IWPError: `GRADIO_SERVER_PORT` is no port.
    """
    text = os.environ.get("GRADIO_SERVER_PORT", "7860").strip()
    if not (text.isdecimal() and 0 < int(text) < 2**16):
        raise IWPError(
            f"GRADIO_SERVER_PORT must be a whole number from 1 to {2**16 - 1}, not {text!r}."
        )


def ask_no_proxy_for_loopback() -> None:
    """Take this machine out of what the environment's HTTP proxy is asked for; it cannot know."""
    spared = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if spared.strip() == "*":  # everything; beside other names it means nothing
        return
    hosts = (spared, "127.0.0.1", "localhost", os.environ.get("GRADIO_SERVER_NAME"))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, hosts))


def _whole(source: Mapping[str, str], name: str, default: int) -> int:
    text = source.get(name, "").strip()
    try:
        return int(text) if text else default
    except ValueError:
        raise IWPError(f"{name} must be a whole number, not {text!r}.") from None


def _names(source: Mapping[str, str], name: str) -> tuple[str, ...]:
    words = (word.strip() for word in source.get(name, "").split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def _switch(source: Mapping[str, str], name: str) -> bool:
    text = source.get(name, "").strip() or "0"
    if text not in ("0", "1"):
        raise IWPError(f"{name} must be 0 or 1, not {text!r}.")
    return text == "1"


def _number(source: Mapping[str, str], name: str, default: float) -> float:
    text = source.get(name, "").strip()
    try:
        return float(text) if text else default
    except ValueError:
        raise IWPError(f"{name} must be a number, not {text!r}.") from None
