"""The page as it is built: what stands on it and which events it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from iwp.settings import Settings
from iwp.ui import build_demo, launch_options, text
from tests.browser.fake import FakeEngine


def build(settings: Settings | None = None, examples: Path = Path("/nowhere")) -> gr.Blocks:
    return build_demo(FakeEngine(), settings or Settings(), examples)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def demo() -> gr.Blocks:
    return build()


def by_id(demo: gr.Blocks, elem_id: str) -> Any:
    return next(b for b in demo.blocks.values() if getattr(b, "elem_id", None) == elem_id)


def test_only_compare_is_public(demo: gr.Blocks) -> None:
    public = {fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"}
    assert public == {"compare"}


def test_everything_that_computes_shares_one_place_in_the_queue(demo: gr.Blocks) -> None:
    names = {fn.name for fn in demo.fns.values() if fn.concurrency_id == "gpu"}
    assert names == {"rank", "answer", "repruned", "sweep", "compare"}
    limits = {fn.concurrency_limit for fn in demo.fns.values() if fn.concurrency_id == "gpu"}
    assert limits == {1}


def test_answers_come_only_after_the_checks(demo: gr.Blocks) -> None:
    comes_after: dict[str, set[str]] = {}
    for fn in demo.fns.values():
        if fn.trigger_after is not None and fn.trigger_only_on_success:
            comes_after.setdefault(fn.name, set()).add(demo.fns[fn.trigger_after].name)
    assert comes_after["rank"] == {"begin", "pick"}
    assert comes_after["answer"] == {"rank"}
    assert (comes_after["repruned"], comes_after["sweep"]) == ({"note"}, {"ask"})
    functions = {fn.name: fn for fn in demo.fns.values()}
    for name in ("begin", "pick", "ask"):
        assert functions[name].concurrency_limit is None
    assert functions["note"].queue is False


def test_the_page_says_what_runs_where(demo: gr.Blocks) -> None:
    header = by_id(demo, "header").value
    for fact in ("fake-model", "cpu", "sdpa", "float32"):
        assert fact in header


def test_the_page_says_what_the_model_can_do(demo: gr.Blocks) -> None:
    assert text.DEMO_MODEL in by_id(demo, "about").value
    assert text.OTHER_MODEL in by_id(build(Settings(model="some/model")), "about").value


def test_examples_are_offered_where_there_are_some(demo: gr.Blocks, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "one.png")
    entries = [{"image": "one.png", "question": "What?", "credit": "-", "licence": "-"}]
    (tmp_path / "examples.json").write_text(json.dumps(entries))
    kinds = [type(block).__name__ for block in build(examples=tmp_path).blocks.values()]
    assert "Dataset" in kinds
    assert "Dataset" not in [type(block).__name__ for block in demo.blocks.values()]


def test_no_other_host_is_needed() -> None:
    theme = launch_options()["theme"]
    assert theme._stylesheets == []
    assert "https:" not in theme._get_theme_css()


def test_nothing_is_reported_home(demo: gr.Blocks) -> None:
    assert demo.analytics_enabled is False
