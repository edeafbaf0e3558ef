"""What huggingface_hub says on stderr while a model is looked for, and while one is downloaded."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread
from typing import Any

import pytest
from huggingface_hub.utils import http_backoff
from transformers import PretrainedConfig

from iwp.adapters import load, loading
from iwp.adapters.asking import quietly
from iwp.errors import ModelError


@pytest.fixture
def said() -> Iterator[Callable[[], str]]:
    """What the library has said, as its own handler would write it."""
    stream = io.StringIO()
    handler, library = logging.StreamHandler(stream), logging.getLogger("huggingface_hub")
    library.addHandler(handler)
    yield stream.getvalue
    library.removeHandler(handler)


def unreachable(*_: Any, **__: Any) -> None:
    """A request as the library makes it, offline and so without an answer, twice."""
    often = {"retry_on_exceptions": Exception, "max_retries": 1, "base_wait_time": 0}
    http_backoff("HEAD", "http://localhost/config.json", **often)


def download() -> None:
    """The same, where somebody else looks after the failure."""
    with suppress(Exception):
        unreachable()


def test_looking_for_a_model_says_nothing_of_retries(
    said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PretrainedConfig, "get_config_dict", unreachable)
    with pytest.raises(ModelError, match="no-such/model"):
        load("no-such/model")
    assert said() == ""


def test_looking_for_recommended_settings_says_nothing_of_retries(
    said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "cached_file", unreachable)
    assert loading.recommended("no-such/model") == {}
    assert said() == ""


def test_retries_of_downloads_are_told(said: Callable[[], str]) -> None:
    with quietly():
        other = Thread(target=download)
        other.start()
        other.join()
    assert said().count("thrown while requesting HEAD") == 2
    download()
    assert said().count("thrown while requesting HEAD") == 4


def test_other_warnings_are_told(said: Callable[[], str]) -> None:
    with quietly():
        logging.getLogger("huggingface_hub.utils._http").warning("Set a token.")
    assert said() == "Set a token.\n"
