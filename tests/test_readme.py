"""The README's promises that can be checked without reading it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FRONT_MATTER = yaml.safe_load(README.split("---\n")[1])
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PINS = (ROOT / "requirements.txt").read_text(encoding="utf-8")


def test_space_runs_the_pinned_gradio() -> None:
    assert f"gradio=={FRONT_MATTER['sdk_version']}\n" in PINS
    assert FRONT_MATTER["sdk"] == "gradio"


def test_space_front_matter_is_what_hugging_face_accepts() -> None:
    assert (ROOT / FRONT_MATTER["app_file"]).is_file()
    assert FRONT_MATTER["python_version"] == "3.12"
    assert len(FRONT_MATTER["short_description"]) <= 60
    assert FRONT_MATTER["license"] == "apache-2.0"


def test_every_pin_is_exact() -> None:
    lines = [line for line in PINS.splitlines() if line and not line.startswith("#")]
    assert all(re.match(r"[\w-]+==\d+(\.\d+)+($|; python_version)", line) for line in lines)


def test_what_is_installed_before_is_what_is_pinned() -> None:
    (before,) = re.findall(r"`pip install (.*) --index-url \S+/whl/cpu`", README)
    assert set(before.split()) <= set(PINS.splitlines())


def test_start_names_the_pythons_that_it_runs_on() -> None:
    first, end = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', PROJECT)[0]
    start = README.split("## Start\n")[1].split("\n## ")[0]
    assert f"Python 3.{first} to 3.{int(end) - 1}." in start


def test_table_of_methods_is_the_registrys() -> None:
    """`python -m iwp methods --write README.md` renews it."""
    from iwp import registry

    assert registry.written(README, registry.markdown()) == README


def test_commands_are_there() -> None:
    assert "pip install -r requirements.txt && python app.py\n" in README
    assert "pip install -r requirements-dev.txt && python -m pytest\n" in README


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
def test_python_examples_use_names_that_exist(code: str) -> None:
    import iwp

    used = {
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "iwp"
    }
    assert used <= set(iwp.__all__)


@pytest.mark.slow
def test_use_it_in_your_own_code_runs_as_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = README.split("## Use it in your own code\n")[1].split("\n### ")[0]
    snippets = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert len(snippets) >= 4
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for snippet in snippets:  # each goes on from the one before
        exec(compile(snippet, "README.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "green"  # the triangle of that picture
    assert "Fidelity(" in "".join(printed)


def test_commands_and_code_open_files_that_are_there() -> None:
    blocks = "".join(re.findall(r"```(?:python|bash)\n(.*?)```", README, flags=re.DOTALL))
    opened = re.findall(r"--(?:image|video) (\S+)|\"(\S+\.(?:png|jpg|mp4))\"", blocks)
    assert len(opened) > 10
    assert [
        name for names in opened for name in names if name and not (ROOT / name).is_file()
    ] == []


@pytest.mark.parametrize("target", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
