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


def by_id(demo: gr.Blocks, elem_id: str) -> Any:
    return next(b for b in demo.blocks.values() if getattr(b, "elem_id", None) == elem_id)


def test_only_compare_is_public() -> None:
    demo = build()
    public = {fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"}
    assert public == {"compare"}


def test_everything_that_computes_shares_one_place_in_the_queue() -> None:
    demo = build()
    names = {fn.name for fn in demo.fns.values() if fn.concurrency_id == "gpu"}
    assert names == {"answer", "repruned", "compare"}
    limits = {fn.concurrency_limit for fn in demo.fns.values() if fn.concurrency_id == "gpu"}
    assert limits == {1}


def test_answers_come_only_after_the_checks() -> None:
    demo = build()
    ids = {fn.name: number for number, fn in demo.fns.items()}
    answer = demo.fns[ids["answer"]]
    assert answer.trigger_after == ids["begin"]
    assert answer.trigger_only_on_success
    assert demo.fns[ids["begin"]].queue is False
    assert demo.fns[ids["note"]].queue is False


def test_the_page_says_what_runs_where() -> None:
    header = by_id(build(), "header").value
    for fact in ("fake-model", "cpu", "sdpa", "float32"):
        assert fact in header


@pytest.mark.parametrize(
    ("model", "sentence"), [("demo", text.DEMO_MODEL), ("some/model", text.OTHER_MODEL)]
)
def test_the_page_says_what_the_model_can_do(model: str, sentence: str) -> None:
    assert sentence in by_id(build(Settings(model=model)), "about").value


def test_examples_are_offered_where_there_are_some(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "one.png")
    entries = [{"image": "one.png", "question": "What?", "credit": "-", "licence": "-"}]
    (tmp_path / "examples.json").write_text(json.dumps(entries))
    kinds = [type(block).__name__ for block in build(examples=tmp_path).blocks.values()]
    assert "Dataset" in kinds
    assert "Dataset" not in [type(block).__name__ for block in build().blocks.values()]


def test_no_other_host_is_needed() -> None:
    theme = launch_options()["theme"]
    assert theme._stylesheets == []
    assert "https:" not in theme._get_theme_css()


def test_nothing_is_reported_home() -> None:
    assert build().analytics_enabled is False
