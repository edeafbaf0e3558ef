"""The structure that docs/architecture.md promises, read from the syntax trees."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
MODULES = [*sorted((ROOT / "iwp").rglob("*.py")), ROOT / "app.py"]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# A module imports only from its left. Packages count as one.
ORDER = [
    *(
        "types",
        "frames",
        "results",
        "events",
        "errors",
        "settings",
        "budget",
        "layer_average",
        "options",
        "picking",
        "contest",
        "session",
        "question",
        "wording",
        "media",
        "video",
        "dual",
        "mmr",
        "fidelity",
    ),
    *(
        "overlay",
        "overlay_video",
        "drawing",
        "measure",
        "run",
        "support",
        "tower",
        "pruners",
        "adapters",
        "prompt",
    ),
    *("columns", "masks", "rows", "shortened", "deepstack", "chosen", "step", "stage"),
    *("cutting", "pruning", "reading", "slots", "one_row", "graphs", "steps"),
    *("generate", "trunk", "answering"),
    *(
        "verdict",
        "sweep",
        "comparison",
        "warming",
        "seat",
        "switching",
        "engine",
        "catalogue",
        "calls",
        "report",
        "recordings",
        "marked",
        "registry",
        "parser",
        "subcommands",
        "flags",
        "scenes",
        "evals",
        "bench",
        "exam",
        "ui",
        "gallery",
        "__main__",
        "app",
    ),
]
LONGEST = 300  # lines


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _place(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if len(parts) == 1 else parts[1]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _runtime_imports(path: Path) -> Iterator[str]:
    """Full dotted names that a module imports when it runs; type-only imports are left out."""
    todo: list[ast.AST] = [_tree(path)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo.extend(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)} uses a relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            todo.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_to_the_left(path: Path) -> None:
    here = _place(path)
    imported = {name.split(".")[1] for name in _runtime_imports(path) if name.startswith("iwp.")}
    if path == ROOT / "iwp" / "__init__.py":
        assert imported == set(), "import iwp has to stay cheap"
        return
    unknown = (imported | {here}) - set(ORDER)
    assert unknown == set(), "name the new module in ORDER and in docs/architecture.md"
    wrong = {name for name in imported - {here} if ORDER.index(name) > ORDER.index(here)}
    assert wrong == set()
    if here in ("pruners", "adapters"):
        assert imported.isdisjoint({"pruners", "adapters"} - {here})


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_the_page_knows_gradio(path: Path) -> None:
    roots = {name.split(".")[0] for name in _runtime_imports(path)}
    if _place(path) not in ("ui", "app"):
        assert "gradio" not in roots
    if path != ROOT / "app.py":
        assert "spaces" not in roots


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_settings_reads_the_environment(path: Path) -> None:
    names = {ast.unparse(node) for node in ast.walk(_tree(path)) if isinstance(node, ast.Attribute)}
    imported = set(_runtime_imports(path))
    reads = {"os.environ", "os.getenv", "os.putenv"} & (names | imported)
    assert reads == set() or path == ROOT / "iwp" / "settings.py"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_nothing_is_global(path: Path) -> None:
    assert not any(isinstance(node, ast.Global) for node in ast.walk(_tree(path)))


@pytest.mark.parametrize("path", MODULES + TESTS, ids=_name)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(_tree(path))


def test_every_module_stands_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in ORDER[:-2]:
        assert re.search(rf"`iwp/{name}(\.py|/)`", text), name


def test_importing_loads_neither_torch_nor_gradio() -> None:
    code = (
        "import sys, iwp; heavy = {'torch', 'transformers', 'gradio', 'numpy'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_public_name_is_found_in_a_fresh_process() -> None:
    """Each before any other: none may rely on what another one has imported."""
    code = (
        "import sys, iwp\n"
        "for name in iwp.__all__:\n"
        "    for loaded in [one for one in sys.modules if one.startswith('iwp.')]:\n"
        "        del sys.modules[loaded]\n"
        "    for loaded in [one for one in vars(iwp) if one in iwp.__all__]:\n"
        "        delattr(iwp, loaded)\n"
        "    assert getattr(iwp, name) is not None, name\n"
        "assert 'torch' in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_public_names_exist() -> None:
    import iwp

    assert all(getattr(iwp, name) is not None for name in iwp.__all__)
    assert set(iwp.__all__) <= set(dir(iwp))
    with pytest.raises(AttributeError):
        _ = iwp.no_such_name
