"""The page's colours and sizes as CSS variables, for pages that gradio does not serve."""

from __future__ import annotations

import re

from iwp.ui.theme import theme

_RULE = re.compile(r"--([\w-]+):\s*([^;]+);")
_USED = re.compile(r"var\(--([\w-]+)")


def variables(styles: str) -> str:
    """The theme's variables that these style sheets use, in light and dark, as CSS.

    Dark ones follow the system's wish.
    """
    light, dark = (dict(_RULE.findall(part)) for part in _parts())
    used = _closed(set(_USED.findall(styles)), light, dark)
    night = {name for name in used if dark.get(name) != light.get(name)}
    return (
        f":root {{\n  color-scheme: light dark;\n{_rules(used, light)}}}\n"
        f"@media (prefers-color-scheme: dark) {{\n  :root {{\n{_rules(night, dark)}}}\n}}\n"
    )


def _parts() -> tuple[str, str]:
    # gradio writes a block for light, then one for dark
    light, _, dark = theme()._get_theme_css().partition(".dark")
    return light, dark


def _closed(names: set[str], *tables: dict[str, str]) -> set[str]:
    """The names, and those that their values use in turn."""
    found, todo = set[str](), list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for table in tables:
            todo += _USED.findall(table.get(name, ""))
    return found


def _rules(names: set[str], table: dict[str, str]) -> str:
    return "".join(f"  --{name}: {table[name].strip()};\n" for name in sorted(names & table.keys()))
