"""The words of every command: which one is meant, and one sentence for what none of them takes."""

from __future__ import annotations

import pytest

from iwp.__main__ import main


def told(capsys: pytest.CaptureFixture[str], words: list[str]) -> tuple[object, str, str]:
    """Exit code, stdout and stderr of a command."""
    try:
        code: object = main(words)
    except SystemExit as stopped:
        code = stopped.code
    return code, *capsys.readouterr()


COMMANDS = [
    *(["eval", name] for name in ("scenes", "clips", "export")),
    *(["bench", name] for name in ("ablation", "auto", "consistency", "efficiency", "growth")),
    *(["bench", name] for name in ("select", "sharing", "similarity")),
    *([name] for name in ("methods", "gallery", "train-demo-model")),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("extra", [["--nosuch", "4"], ["--limit", "many"]], ids=" ".join)
def test_an_option_that_a_command_lacks_is_one_sentence(
    words: list[str], extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = told(capsys, [*words, *extra])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "(see python -m iwp" in err
