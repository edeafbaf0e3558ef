"""Settings: defaults, environment, refusals."""

from __future__ import annotations

import argparse

import pytest

from iwp import flags
from iwp.errors import IWPError
from iwp.settings import Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


def test_blank_values_count_as_unset() -> None:
    blank = {"IWP_MODEL": "", "IWP_DEADLINE_S": " ", "IWP_MAX_NEW_TOKENS": ""}
    assert Settings.from_env(blank) == Settings()


def test_every_field_can_be_set() -> None:
    environment = {
        "IWP_MODEL": "some/model",
        "IWP_DEVICE": "cuda:1",
        "IWP_DTYPE": "bfloat16",
        "IWP_ATTENTION": "eager",
        "IWP_DEVICE_MAP": "auto",
        "IWP_QUANTIZATION": "4bit",
        "IWP_REVISION": "v2",
        "IWP_MAX_NEW_TOKENS": "7",
        "IWP_DEADLINE_S": "1.5",
        "IWP_MAX_PIXELS": "1000",
        "IWP_THREADS": "3",
        "IWP_MODELS": " demo, some/model ,,demo",
        "IWP_FAST_DECODE": "1",
    }
    assert Settings.from_env(environment) == Settings(
        model="some/model",
        device="cuda:1",
        dtype="bfloat16",
        attention="eager",
        device_map="auto",
        quantization="4bit",
        revision="v2",
        max_new_tokens=7,
        deadline_s=1.5,
        max_pixels=1000,
        threads=3,
        models=("demo", "some/model"),
        fast_decode=True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IWP_MAX_NEW_TOKENS", "many"),
        ("IWP_MAX_NEW_TOKENS", "0"),
        ("IWP_MAX_PIXELS", "-1"),
        ("IWP_FAST_DECODE", "yes"),
        ("IWP_DEADLINE_S", "soon"),
        ("IWP_DEADLINE_S", "0"),
        ("IWP_DEADLINE_S", "nan"),
        ("IWP_THREADS", "-1"),
        ("IWP_DTYPE", "int4"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(IWPError, match=name):
        Settings.from_env({name: value})


def test_a_wrong_dtype_names_both_ways_of_setting_it() -> None:
    with pytest.raises(IWPError, match=r"^--dtype or IWP_DTYPE must be .*, not 'x'\.$"):
        Settings(dtype="x")


def test_an_option_wins_over_the_environment_and_over_what_it_excludes() -> None:
    parser = argparse.ArgumentParser()
    flags.add(parser)
    divided = Settings(device_map="auto", dtype="float16")
    found = flags.chosen(parser.parse_args(["--device", "cpu"]), divided)
    assert found.loading == {"device": "cpu", "dtype": "float16"}
    whole = Settings(device="cuda:0")
    found = flags.chosen(parser.parse_args(["--device-map", "auto"]), whole)
    assert found.loading == {"device_map": "auto"}
    assert flags.chosen(parser.parse_args([]), whole) == whole
