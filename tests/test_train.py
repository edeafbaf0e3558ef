"""Training resumes, repeats itself, and writes a folder that transformers' Auto classes load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from iwp.scenes.train import main

SMALL = [
    "--tower-steps",
    "1",
    "--steps",
    "2",
    "--tokens",
    "900",
    "--crops",
    "2",
    "--more-crops",
    "1",
]
SMALL += ["--dtype", "float32", "--save-every", "1", "--log-every", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    assert main([*SMALL, "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_weights(trained: Path, tmp_path: Path) -> None:
    for _ in range(3):  # stops after every step
        main([*SMALL, "--out", str(tmp_path), "--stop-after", "0"])
    straight, resumed = (torch.load(f / "checkpoint.pt") for f in (trained, tmp_path))
    assert straight["step"] == resumed["step"] == 2
    for name, weight in straight["model"].items():
        assert torch.equal(weight, resumed["model"][name]), name


def test_the_auto_classes_load_what_was_written(trained: Path) -> None:
    folder = trained / "model"
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    assert type(model).__name__ == "LlavaOnevisionForConditionalGeneration"
    assert type(processor).__name__ == "LlavaOnevisionProcessor"
    assert model.dtype == torch.bfloat16
    assert max(f.stat().st_size for f in folder.iterdir()) < 9_000_000
