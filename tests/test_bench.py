"""The benches: what they vary, what they measure, what they write."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

import iwp
from iwp.__main__ import main
from iwp.bench import ablation, auto, consistency, similarity
from iwp.bench.tables import TABLES, find
from iwp.budget import keep_count
from iwp.engine import Engine, choose_method
from iwp.errors import InputError
from iwp.types import Media
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.adapters.base import VLM

MEDIA = Media((tiny.picture(),))


@pytest.fixture(scope="module")
def vlm(tiny_folder: Path) -> VLM:
    return replace(iwp.load(str(tiny_folder), device="cpu"), pruner={"layer": 2})


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_of_every_table_is_a_setting_of_its_own(vlm: VLM) -> None:
    for table in TABLES.values():
        made = ablation.pruners(vlm, [table], [0.2], {})
        defaults = 3 if table.name == "E.5" else 1  # it varies three options, each in turn
        assert len(set(made.values())) == len(made) - (defaults - 1)


def test_a_row_wins_over_what_the_model_recommends(vlm: VLM) -> None:
    wide = replace(vlm, pruner={"layer": 2, "bandwidth": "median"})
    made = ablation.pruners(wide, find(["scale"]), [0.2], {"penalty": 1})
    assert {pruner.layer for pruner in made.values()} == {2}
    assert {pruner.penalty for pruner in made.values()} == {1}
    assert {pruner.bandwidth for pruner in made.values()} == {"sqrt_d", "median"}


def test_layers_that_the_model_lacks_are_left_out(vlm: VLM) -> None:
    made = ablation.pruners(vlm, find(["E.3"]), [0.2], {})
    assert sorted(pruner.layer for pruner in made.values()) == [0, 2, 4]


def test_unknown_tables_are_named() -> None:
    assert len(find(["all"])) == len(TABLES)
    with pytest.raises(InputError, match=r"E\.5"):
        find(["E.4"])


def test_overlap_is_intersection_over_union() -> None:
    masks = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0]], dtype=torch.bool)
    expected = torch.tensor([[1, 1 / 3, 1], [1 / 3, 1, 1 / 3], [1, 1 / 3, 1]], dtype=torch.double)
    assert torch.allclose(consistency.overlap(masks), expected)


def test_a_selection_before_every_layer(vlm: VLM) -> None:
    method = choose_method(vlm, 0.25)
    masks = consistency.selections(vlm, MEDIA, "What is it?", method)
    ranking = Engine(vlm).rank(MEDIA, "What is it?", method=method).ranking
    keep = keep_count(masks.shape[1], 0.25)
    assert masks.shape == (tiny.LAYERS, len(ranking.ranks))
    assert masks[2].equal(ranking.ranks < keep)
    assert set(masks.sum(1).tolist()) == {keep}


def test_similarity_maps_are_symmetric_and_bounded(vlm: VLM) -> None:
    found = similarity.maps(vlm, MEDIA, "What is it?", layer=1, last=20)
    assert len(found) == 3
    for matrix in found.values():
        assert matrix.shape == (20, 20)
        assert bool(matrix.diagonal().isnan().all())
        plain = matrix.nan_to_num(0.0)
        assert torch.allclose(plain, plain.T, atol=1e-5)
        assert float(plain.abs().max()) <= 1.0 + 1e-5
    assert float(found["squared dual similarity"].nan_to_num(0.0).min()) >= 0.0
    with pytest.raises(InputError, match="layers 0 to 5"):
        similarity.maps(vlm, MEDIA, "What is it?", layer=6, last=20)


def test_a_found_budget_has_a_line_of_its_own(vlm: VLM) -> None:
    series = auto.settings(vlm, [0.1], {"dual_weight": (0.5,), "attention_output": (0.5, 0.1)})
    sizes = {line: len(members) for line, members in series.items()}
    assert sizes == {"fixed budget": 1, "auto, dual_weight": 1, "auto, attention_output": 2}
    assert {s.pruner.budget for s in series["auto, dual_weight"] if s.pruner} == {"auto"}


@pytest.mark.slow
def test_an_ablation_writes_table_and_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--table", "E.1", "--budgets", "0.111", "--limit", "10", "--out", str(tmp_path)]
    assert main(["bench", "ablation", *words]) == 0
    rows = _rows(tmp_path / "ablation-E.1.csv")
    assert [row["setting"] for row in rows] == ["magnitude alone", "with duplication"]
    assert all(0 <= float(row["fine"]) <= 1 for row in rows)
    assert (tmp_path / "ablation-E.1.png").read_bytes().startswith(b"\x89PNG")
    assert "magnitude alone" in capsys.readouterr().out


@pytest.mark.slow
def test_consistency_and_similarity_write_their_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "consistency", "--pictures", "2", "--out", str(tmp_path)]) == 0
    matrix = _rows(tmp_path / "consistency.csv")
    assert all(float(row[row["layer"]]) == 1.0 for row in matrix)
    picture = tmp_path / "picture.png"
    tiny.picture().save(picture)
    words = ["--image", str(picture), "--question", "what color is the star ?"]
    assert main(["bench", "similarity", *words, "--out", str(tmp_path)]) == 0
    for name in ("consistency", "similarity"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "kernel of keys: mean" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["nonsense"], ["ablation", "--table", "9"]])
def test_a_bench_that_does_not_exist_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
