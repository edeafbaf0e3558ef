"""lmms-eval itself, started as a person starts it, against our own exam on the same questions.

It is looked for in this environment, and in that of the interpreter that LMMS_PYTHON names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from iwp.adapters import load
from iwp.engine import choose_method
from iwp.evals.export import TASK, export
from iwp.pruners import IWP
from iwp.scenes import exam
from tests.families import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
LIMIT, SEED = 20, 3


@cache
def _interpreter() -> str | None:
    """A Python that has lmms-eval."""
    for python in (sys.executable, os.environ.get("LMMS_PYTHON", "")):
        code = "import importlib.util as u, sys; sys.exit(u.find_spec('lmms_eval') is None)"
        if python and subprocess.run([python, "-c", code], check=False).returncode == 0:
            return python
    return None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        _interpreter() is None,
        reason="needs lmms-eval (pip install -r requirements-lmms.txt, or LMMS_PYTHON=...)",
    ),
]


@dataclass(frozen=True)
class Outcome:
    """What lmms-eval wrote: the results, the answers by question, and the log."""

    results: dict[str, Any]
    answers: tuple[str, ...]
    log: str

    @property
    def accuracy(self) -> float:
        return float(self.results["results"][TASK]["exact_match,none"])


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task") / "scenes"
    assert export(folder, LIMIT, SEED) == LIMIT
    return folder


def evaluate(
    task: Path, out: Path, model_args: str, *more: str, batch: int = 1, processes: int = 1
) -> Outcome:
    """Run lmms-eval without a network."""
    python = _interpreter()
    assert python is not None
    launch = ["accelerate.commands.launch", "--cpu", "--num_processes", str(processes)]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "-m"]
    command = [python, "-m", *(launch if processes > 1 else []), "lmms_eval"]
    command += ["--model", "iwp", "--model_args", model_args, "--batch_size", str(batch)]
    command += ["--include_path", str(task), "--tasks", TASK, "--log_samples", *more]
    command += ["--output_path", str(out)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(out / "home")}
    environment = {**os.environ, **offline, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=out, env=environment, check=False, capture_output=True, text=True, timeout=800
    )
    written = sorted(out.glob("*/*_results.json"))
    assert written, done.stdout + done.stderr
    samples = next(out.glob("*/*_samples_*.jsonl")).read_text().splitlines()
    rows = sorted((json.loads(line) for line in samples), key=lambda row: row["doc_id"])
    answers = tuple(row["filtered_resps"] for row in rows)
    return Outcome(json.loads(written[0].read_text()), answers, done.stdout)


@pytest.mark.parametrize("name", ["full", "random", "pyramiddrop"])
def test_lmms_eval_finds_what_our_own_exam_finds(task: Path, tmp_path: Path, name: str) -> None:
    vlm = load("demo", device="cpu")
    pruner = None if name == "full" else choose_method(vlm, 0.25, name)
    items = exam.items(SEED, LIMIT // 10)
    records = list(exam.sit(vlm, items, [exam.Setting(name, pruner)]))
    said = [record.said[name] for record in records]
    found = evaluate(task, tmp_path, f"pretrained=demo,pruner={name},budget=0.25", batch=4)
    assert found.answers == tuple(one.text for one in said)
    right = [one.text == record.answer for one, record in zip(said, records, strict=True)]
    assert found.accuracy == pytest.approx(sum(right) / LIMIT)
    achieved = found.results["throughput"]
    for ours, theirs in (("kept", "kept_share"), ("layer_average", "layer_average")):
        mean = sum(getattr(one, ours) for one in said) / LIMIT
        assert achieved[f"avg_{theirs}"] == pytest.approx(mean)


def test_processes_share_the_questions(task: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    args = "pretrained=demo,pruner=iwp,budget=0.5,convention=average,layer=2"
    alone = evaluate(task, one, args, "--limit", "7")
    shared = evaluate(task, two, args, "--limit", "7", batch=2, processes=2)
    assert shared.answers == alone.answers
    assert shared.accuracy == alone.accuracy
    for found in (alone, shared):
        achieved = found.results["throughput"]
        assert achieved["avg_layer_average"] == pytest.approx(0.5, abs=0.001)
        assert achieved["avg_kept_share"] < 0.5
        assert achieved["avg_visual_tokens"] == alone.results["throughput"]["avg_visual_tokens"]
        assert "7 prompts" in found.log
        assert found.results["config"]["model_args"] == args
        method = IWP(0.5, layer=2, bandwidth="median")
        assert f"{method}, its budget counted as average" in found.log


def test_another_family_answers_too(task: Path, tmp_path: Path) -> None:
    model = FAMILIES["qwen2_5_vl"].save(tmp_path / "tiny")
    args = f"pretrained={model},pruner=iwp,budget=0.5,layer=2,max_pixels=3000"
    found = evaluate(task, tmp_path, args, "--limit", "4", batch=4)
    assert found.results["throughput"]["avg_kept_share"] == pytest.approx(0.5, abs=0.01)
    assert len(set(found.answers)) > 1
