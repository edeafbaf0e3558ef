"""Changing the model in a real browser, between two real tiny ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iwp.engine import Engine
from iwp.settings import Settings
from iwp.ui import build_demo, launch_options
from tests import tiny
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def choice(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    deeper = tmp_path_factory.mktemp("models") / "deeper"
    tiny.model(seed=1, layers=8).save_pretrained(deeper)
    tiny.processor().save_pretrained(deeper)
    broken = tmp_path_factory.mktemp("models") / "broken"
    tiny.processor().save_pretrained(broken)
    tiny.config().save_pretrained(broken)
    (broken / "model.safetensors").write_bytes(b"nothing")
    models = (str(deeper), str(broken))
    settings = Settings(model=str(tiny_folder), models=models, device="cpu", max_new_tokens=6)
    demo = build_demo(Engine.load(settings), settings, Path("/nowhere"))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield url
    demo.close()


def load(opened: Visit, name: str) -> None:
    opened.page.click("#model input")
    opened.page.click(f"#model [role=option]:has-text('{name}')")
    opened.page.click("#load-model")


@pytest.mark.slow
def test_another_model_answers(
    visit: Callable[..., Visit], choice: str, picture: Path, pictures_folder: Path
) -> None:
    opened, watcher = visit(choice), visit(choice)
    opened.compare(picture, "What is it?")
    opened.wait_for_text("#status", "Done")
    first = opened.answer("baseline")
    opened.page.click("#settings button")
    load(opened, "deeper")
    opened.wait_for_text("#model-status", "deeper is loaded and warmed up")
    opened.wait_for_text("#header", "deeper")
    assert "parameters" in opened.page.input_value("#model input")
    opened.page.screenshot(path=pictures_folder / "models.png", full_page=True)
    opened.page.click("#compare")
    opened.page.wait_for_function(
        "old => { const now = document.querySelector('#baseline textarea').value;"
        " return now && now !== old; }",
        arg=first,
    )
    opened.wait_for_text("#status", "Done")
    # Who opened the page before learns of it with the next question, who opens it now at once.
    watcher.compare(picture, "What is it?")
    watcher.wait_for_text("#header", "deeper")
    watcher.wait_for_text("#status", "Done")
    visit(choice).wait_for_text("#header", "deeper")

    load(opened, "broken")
    opened.wait_for_text("#model-status", "deeper answers as before")
    opened.page.click("#compare")
    opened.wait_for_text("#status", "Done")
