"""The command-line options that say which model runs, where and how."""

from __future__ import annotations

import argparse
from dataclasses import replace

from iwp.settings import Settings

_FLAGS = {
    "model": "demo, a local folder or a Hub id",
    "device": "such as cpu or cuda:0",
    "dtype": "float32, bfloat16 or float16",
    "attention": "sdpa, eager or flash_attention_2",
    "device_map": "auto divides a big model over all devices",
    "quantization": "4bit, on a GPU",
    "revision": "branch, tag or commit of a Hub model",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Add an option for each of them."""
    for name, meaning in _FLAGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=meaning)


def chosen(options: argparse.Namespace, settings: Settings) -> Settings:
    """The settings, overridden by the options that were given."""
    given = {name: getattr(options, name) for name in _FLAGS if getattr(options, name)}
    # One excludes the other, and the nearer one wins.
    for name, other in (("device", "device_map"), ("device_map", "device")):
        if name in given and other not in given:
            given[other] = ""
    return replace(settings, **given)
