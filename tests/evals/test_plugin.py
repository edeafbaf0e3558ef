"""The plugin's own part, between stand-ins for the few names of lmms-eval that it uses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from iwp.errors import InputError, IWPError
from tests import tiny
from tests.evals.asking import messages, vlm
from tests.families import FAMILIES

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class TokenCounts:
    input_tokens: int
    output_tokens: int


@dataclass
class GenerationResult:
    text: str
    token_counts: TokenCounts


@dataclass
class Instance:
    args: tuple[Any, ...]
    metadata: dict[str, Any] = field(default_factory=dict)


class Base:
    def __init__(self) -> None:
        self.task_dict: dict[str, Any] = {}

    @property
    def rank(self) -> int:
        return self._rank

    def clean(self) -> None:
        self.cleaned = True


class Book:
    """What was logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.metrics: list[dict[str, Any]] = []

    def info(self, line: str) -> None:
        self.lines.append(line)

    def log_metrics(self, **metrics: Any) -> None:
        self.metrics.append(metrics)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def plugin(book: Book, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`iwp.evals.lmms`, imported afresh."""
    names = {
        "lmms_eval.api.instance": {
            "GenerationResult": GenerationResult,
            "Instance": Instance,
            "TokenCounts": TokenCounts,
        },
        "lmms_eval.api.model": {"lmms": Base},
        "lmms_eval.models.model_utils.gen_metrics": {"log_metrics": book.log_metrics},
        "loguru": {"logger": book},
    }
    for name, values in names.items():
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            parent = ".".join(parts[:end])
            monkeypatch.setitem(sys.modules, parent, sys.modules.get(parent, ModuleType(parent)))
        vars(sys.modules[name]).update(values)
    monkeypatch.delitem(sys.modules, "iwp.evals.lmms", raising=False)
    import iwp.evals.lmms as module

    yield module
    sys.modules.pop("iwp.evals.lmms", None)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tiny models on disk."""
    place = tmp_path_factory.mktemp("models")
    return {
        name: str(FAMILIES[name].save(place / name)) for name in ("llava_onevision", "qwen2_5_vl")
    }


PICTURES = [tiny.picture(40 + 20 * i, 50, seed=i) for i in range(5)]
SHORT, LONG = {"max_new_tokens": 3}, {"max_new_tokens": 5}


def _requests(model: Any, kwargs: list[dict[str, Any]]) -> list[Instance]:
    """One question about each picture, with these generation arguments."""
    model.task_dict = {"task": {"test": PICTURES}}

    def ask(picture: Any) -> Any:
        return messages("What is it?", picture)

    return [Instance(("", ask, given, i, "task", "test")) for i, given in enumerate(kwargs)]


@pytest.mark.parametrize("name", ["llava_onevision", "qwen2_5_vl"])
def test_answers_come_back_in_the_order_of_the_questions(
    plugin: Any, folders: dict[str, str], name: str
) -> None:
    kwargs = [SHORT, LONG, SHORT, LONG, SHORT]
    args = {"pretrained": folders[name], "budget": 0.5, "layer": 2, "device": "cpu"}
    batched = plugin.PrunedModel(**args, batch_size="2")
    alone = plugin.PrunedModel(**args)
    together = batched.generate_until(_requests(batched, kwargs))
    assert together == [
        alone.generate_until(_requests(alone, kwargs)[i : i + 1])[0] for i in range(5)
    ]
    limits = [given["max_new_tokens"] for given in kwargs]
    assert [result.token_counts.output_tokens for result in together] == limits
    assert len({result.text for result in together}) > 2


def test_what_was_achieved_is_reported_once(
    plugin: Any, folders: dict[str, str], book: Book
) -> None:
    folder = folders["llava_onevision"]
    model = plugin.PrunedModel(folder, "random", 0.5, layer=3, seed=7, device="cpu")
    requests = _requests(model, [SHORT] * 3)
    requests[2].metadata["__padding_only__"] = True
    model.generate_until(requests[:1])
    model.generate_until(requests[1:])
    model.clean()
    (metrics,) = book.metrics
    assert metrics["total_gen_tokens"] == 6
    assert metrics["additional_metrics"]["kept_share"] == pytest.approx(0.5, abs=0.02)
    assert metrics["additional_metrics"]["layer_average"] == pytest.approx(0.75, abs=0.01)
    assert "Random(budget=0.5, layer=3, seed=7)" in book.lines[-1]
    assert "2 prompts" in book.lines[-1]
    assert model.cleaned
    assert not hasattr(model, "_vlm")


def test_full_cuts_nothing(plugin: Any, folders: dict[str, str], book: Book) -> None:
    model = plugin.PrunedModel(folders["llava_onevision"], pruner="full", device="cpu")
    model.generate_until(_requests(model, [SHORT]))
    model.clean()
    assert book.metrics[0]["additional_metrics"]["kept_share"] == 1.0
    assert "every visual token" in book.lines[-1]


def test_options_of_the_method_arrive_as_its_types(
    plugin: Any, folders: dict[str, str], book: Book
) -> None:
    folder = folders["llava_onevision"]
    plugin.PrunedModel(folder, "iwp", bandwidth="median", penalty=3.0, chunk=4, device="cpu")
    assert "penalty=3.0" in book.lines[-1]
    assert "bandwidth='median'" in book.lines[-1]
    plugin.PrunedModel(folder, "pyramiddrop", 0.5, layer=1, later="[2, 4]", device="cpu")
    assert "later=(2, 4)" in book.lines[-1]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"pruner": "best"}, "no method"),
        ({"budget": 2.0}, "budget"),
        ({"budget": "much"}, "budget"),
        ({"convention": "mean"}, "cut or average"),
        ({"convention": "average", "budget": "auto"}, "auto"),
        ({"pruner": "full", "layer": 2}, "cuts nothing"),
        ({"pruner": "full", "penalty": 2}, "cuts nothing"),
        ({"colour": "red"}, "no option 'colour'"),
        ({"batch_size": "auto"}, "batch_size"),
        ({"frames": 0}, "frames"),
        ({"max_pixels": 1000}, "leave them out"),
        ({"dtype": "int8"}, "int8"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    plugin: Any, folders: dict[str, str], args: dict[str, Any], told: str
) -> None:
    with pytest.raises(IWPError, match=told):
        plugin.PrunedModel(folders["llava_onevision"], device="cpu", **args)


def test_other_kinds_of_task_are_refused(plugin: Any, folders: dict[str, str]) -> None:
    model = plugin.PrunedModel(folders["llava_onevision"], device="cpu")
    with pytest.raises(IWPError, match="generate_until"):
        model.loglikelihood([])
    with pytest.raises(IWPError, match="generate_until"):
        model.generate_until_multi_round([])


def test_a_divided_model_is_one_process_s(plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Two:
        num_processes, process_index, device, is_main_process = 2, 1, "cpu", False

    monkeypatch.setattr(plugin, "Accelerator", Two)
    with pytest.raises(InputError, match="one process only"):
        plugin.PrunedModel("demo", device_map="auto")


def test_each_process_takes_its_own_device(plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Second:
        num_processes, process_index, device, is_main_process = 2, 1, "cuda:1", False

    asked: dict[str, Any] = {}

    def load(name: str, **options: Any) -> Any:
        asked.update(options)
        return vlm("llava_onevision")

    monkeypatch.setattr(plugin, "Accelerator", Second)
    monkeypatch.setattr(plugin, "load", load)
    model = plugin.PrunedModel("demo", device="cuda")
    assert (asked["device"], model.rank) == ("cuda:1", 1)


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True
    )


@pytest.mark.slow
def test_without_lmms_eval_a_sentence_says_what_to_install() -> None:
    absent = "import sys; sys.modules['lmms_eval'] = None\n"
    done = _python(absent + "import iwp.evals.lmms")
    assert "pip install lmms-eval==0.7.3" in done.stderr.splitlines()[-1]


def test_importing_the_package_does_not_import_lmms_eval() -> None:
    code = (
        "import sys, iwp, iwp.evals; found = {'lmms_eval', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {found}' if found else 0)"
    )
    assert _python(code).returncode == 0
