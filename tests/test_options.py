"""A method's settings as people give them: what is taken, and what is refused in a sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from iwp import PRUNERS, options
from iwp.__main__ import main
from iwp.engine import choose_method
from iwp.errors import InputError
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path

MODEL: Any = SimpleNamespace(
    adapter=SimpleNamespace(decoder_layers=[None] * 6), pruner={}, model=tiny.model()
)
REFUSED = [
    ("iwp", "layer", 3.5, "whole number"),
    ("iwp", "layer", True, "whole number"),
    ("iwp", "chunk", 1.5, "whole number"),
    ("iwp", "chunk", "two", "whole number"),
    ("iwp", "growth", 2**70, "whole number"),
    ("iwp", "growth", None, "whole number"),
    ("iwp", "penalty", True, "finite number"),
    ("iwp", "penalty", float("inf"), "finite number"),
    ("iwp", "floor", float("nan"), "finite number"),
    ("iwp", "penalty", 10**400, "finite number"),
    ("iwp", "tolerance", "0.5", "finite number"),
    ("iwp", "rope_magnitude", 1, "true or false"),
    ("iwp", "rope_magnitude", "yes", "true or false"),
    ("iwp", "bandwidth", 1, "text"),
    ("iwp", "bandwidth", ["median"], "text"),
    ("pyramiddrop", "later", 16, "list of whole numbers"),
    ("pyramiddrop", "later", [4, 4.5], "list of whole numbers"),
    ("random", "seed", 1.5, "whole number"),
    ("random", "seed", 2**64, "whole number"),
]


@pytest.mark.parametrize(("method", "option", "value", "wanted"), REFUSED)
def test_a_value_of_another_type_is_named(
    method: str, option: str, value: Any, wanted: str
) -> None:
    with pytest.raises(InputError) as caught:
        choose_method(MODEL, 0.5, method, options={option: value})
    assert f"{option}={value!r}" in str(caught.value)
    assert wanted in str(caught.value)


def test_a_model_folder_may_be_wrong_too() -> None:
    model = SimpleNamespace(adapter=MODEL.adapter, pruner={"chunk": "two"})
    with pytest.raises(InputError, match="chunk='two'"):
        choose_method(model, 0.5)  # type: ignore[arg-type]


def test_what_has_the_right_type_is_taken() -> None:
    given = {"penalty": 1, "chunk": 3, "rope_magnitude": True, "bandwidth": "median", "floor": 0.5}
    method = choose_method(MODEL, 0.5, options=given)
    assert {name: getattr(method, name) for name in given} == given
    several = choose_method(MODEL, 0.5, "pyramiddrop", layer=2, options={"later": [3, 5]})
    assert several.later == (3, 5)  # type: ignore[attr-defined]
    assert choose_method(MODEL, 0.5, "random", layer=0, options={"seed": -1})


@pytest.mark.parametrize("method", PRUNERS)
def test_every_method_takes_its_own_defaults(method: str) -> None:
    assert choose_method(MODEL, 0.5, method).name == method


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "layer=3.5"],
        ["--set", "chunk=1.5"],
        ["--method", "random", "--set", "seed=1.5"],
        ["--method", "random", "--set", "seed=99999999999999999999"],
        ["--set", "penalty=true"],
        ["--set", "penalty=1e999"],
        ["--set", "penalty=Infinity"],
        ["--set", "layer=-99999999999999999999"],
    ],
)
def test_the_command_line_says_it_in_one_sentence(
    words: list[str], tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "picture.png"
    tiny.picture().save(picture)
    asked = ["--image", str(picture), "--question", "What?", "--model", str(tiny_folder)]
    assert main(["rank", *asked, "--device", "cpu", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_words_are_parsed_as_json_where_they_are() -> None:
    words = ["penalty=1.5", "rope_magnitude=True", "bandwidth=median", "seed = 3"]
    assert options.parse(words) == {
        "penalty": 1.5,
        "rope_magnitude": True,
        "bandwidth": "median",
        "seed": 3,
    }


def test_rank_and_run_name_the_device_alike(
    tiny_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iwp.measure.device_name", lambda _: "cpu (a name)")
    picture = tmp_path / "picture.png"
    tiny.picture().save(picture)
    asked = ["--image", str(picture), "--question", "What?", "--model", str(tiny_folder)]
    for words in (["rank"], ["run", "--max-new-tokens", "1"]):
        assert main([*words, *asked, "--device", "cpu", "--json"]) == 0
        assert '"device": "cpu (a name)"' in capsys.readouterr().out
