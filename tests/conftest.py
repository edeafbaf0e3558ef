"""What every test shares: no network, one thread, fixed seeds, tiny models built once."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image

from iwp.settings import Settings
from tests import tiny

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor

    from iwp.ui.handlers import Handlers
    from tests.browser.fake import FakeEngine

torch.set_num_threads(1)
settings.register_profile(
    "iwp",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("iwp")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the browser tests leave their screenshots."""
    parser.addoption("--pictures", metavar="FOLDER", help="keep the browser tests' screenshots")


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers, so that a misspelt one is an error under --strict-markers."""
    config.addinivalue_line("markers", "browser: drives a real browser")
    config.addinivalue_line("markers", "slow: takes more than a few seconds")


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_model() -> LlavaOnevisionForConditionalGeneration:
    """A tiny random LLaVA-OneVision with sdpa attention, in float32. Do not change it."""
    return tiny.model()


@pytest.fixture(scope="session")
def tiny_processor() -> LlavaOnevisionProcessor:
    """The processor of `tiny_model`."""
    return tiny.processor()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny_model` and `tiny_processor` that the Auto classes can load."""
    return tiny.save(tmp_path_factory.mktemp("tiny") / "tiny-llava-onevision")


@pytest.fixture
def picture(tmp_path: Path) -> str:
    """A file that a visitor of the page has."""
    path = tmp_path / "picture.png"
    Image.new("RGB", (90, 60), "teal").save(path)
    return str(path)


@pytest.fixture
def handlers(engine: FakeEngine, tmp_path: Path) -> Handlers:
    """The page's handlers around the test module's `engine`."""
    from iwp.ui.handlers import Handlers

    return Handlers(engine, Settings(), str(tmp_path / "cache"))  # type: ignore[arg-type]
