"""How the bench of long prompts counts memory and fits powers; no test looks at a time."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from iwp import adapters
from iwp.__main__ import main
from iwp.bench import growth, memory, turns
from iwp.pruners import IWP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from iwp.adapters.base import VLM
    from iwp.bench.prompts import Asked


def test_held_bytes_are_those_that_are_alive() -> None:
    weight = torch.zeros(50, 50)
    with memory.Held() as held:
        once = torch.zeros(1000)
        view = once[1:]
        del once
        assert held.now == 4000
        twice = view + weight.t()[0, 0]  # nothing new but the sum
        assert held.now == 4000 + 3996
        del view
        assert held.now == 3996
        del twice
    assert (held.now, held.peak) == (0, 7996)


def test_a_gpu_counts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    answers: dict[str, Callable[..., Any]] = {
        "synchronize": lambda _: done.append("waited"),
        "reset_peak_memory_stats": lambda _: done.append("reset"),
        "memory_allocated": lambda _: 100,
        "max_memory_allocated": lambda _: 350,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    gpus = [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert memory.peak_bytes(gpus, lambda: done.append("work")) == 500
    assert done == ["waited", "reset", "waited", "reset", "work", "waited", "waited"]


def test_lengths_double_up_to_the_longest() -> None:
    assert growth.lengths(256) == [256]
    assert growth.lengths(300) == [256, 300]
    assert growth.lengths(1024) == [256, 512, 1024]
    assert growth.lengths(64_000)[-3:] == [16_384, 32_768, 64_000]


def test_exponents_are_those_of_powers() -> None:
    points = [(float(n), 3.0 * n**1.7) for n in (2000, 500, 4000, 1000)]
    assert growth.exponent(points) == pytest.approx(1.7)
    lifted = [(n, y + 1e7 * (n < 1500)) for n, y in points]  # the smaller half does not count
    assert growth.exponent(lifted) == pytest.approx(1.7)
    assert growth.exponent([(1.0, 2.0), (2.0, 8.0)]) == pytest.approx(2.0)
    assert math.isnan(growth.exponent(points[:1]))


def test_the_table_of_growth_ends_where_memory_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    demo: VLM = adapters.load("demo", device="cpu")
    plain = turns.measured

    def full(vlm: VLM, asked: Asked, *more: Any) -> Any:
        if asked.n > 20:
            raise torch.OutOfMemoryError("out of memory")
        return plain(vlm, asked, *more)

    monkeypatch.setattr(growth, "measured", full)
    found = list(growth.points(demo, IWP(0.2), [10, 20, 40, 80], 1))
    assert [point.n for point in found] == [10, 20]
    assert "40 tokens do not fit" in capsys.readouterr().out
    assert found[0].pruned.kept == 2
    # More than the keys and values that choosing projects: two heads of 64, float32.
    assert found[0].selection_bytes > 2 * 10 * 128 * 4


def test_long_prompts_may_be_chosen_from_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read: list[int] = []
    plain = turns.measured

    def noting(vlm: VLM, asked: Asked, *more: Any) -> Any:
        read.append(asked.n)
        return plain(vlm, asked, *more)

    monkeypatch.setattr(growth, "measured", noting)
    words = ["--random", "demo", "--layers", "4", "--repeats", "1", "--out", str(tmp_path)]
    words += ["--max-tokens", "520", "--prefill-tokens", "256"]
    assert main(["bench", "growth", *words]) == 0
    assert read == [256]
    with (tmp_path / "growth.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [bool(row["full_s"]) for row in table] == [True, False, False]
    assert all(float(row["selection_s"]) > 0 for row in table)
    assert int(table[2]["visual_tokens"]) == 520
    # The same projections of the same number of rows, however they came to the layer.
    demo: VLM = adapters.load("demo", device="cpu")
    asked = growth.prompts.made_up(demo, 300)
    views = [growth._view(demo, asked, IWP(0.2), read=one) for one in (True, False)]
    assert views[0].layer is views[1].layer
    assert views[0].hidden.shape == views[1].hidden.shape
    assert torch.equal(views[0].cos, views[1].cos)
    words += ["--method", "fastv"]
    assert main(["bench", "growth", *words]) == 2
    assert "looks back" in capsys.readouterr().err


def test_growth_writes_its_tables(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text(
        "<!-- growth-demo-4-layers: written by `nobody` -->\n<!-- growth-demo-4-layers: end -->\n"
    )
    words = ["--random", "demo", "--layers", "4", "--repeats", "1", "--max-tokens", "300"]
    assert main(["bench", "growth", *words, "--out", str(tmp_path), "--write", str(page)]) == 0
    with (tmp_path / "growth.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [int(row["visual_tokens"]) for row in table] == [256, 300]
    assert all(float(row["full_bytes"]) > float(row["selection_bytes"]) > 0 for row in table)
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert "selection, ms" in page.read_text()
    assert "y = c N^p" in page.read_text()
