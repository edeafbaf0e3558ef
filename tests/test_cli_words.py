"""The words of every command: which one is meant, and one sentence for what none of them takes."""

from __future__ import annotations

from importlib import import_module

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


@pytest.mark.parametrize(
    ("command", "listed"),
    [
        ("eval", "Say which exam: python -m iwp eval scenes | clips | export.\n"),
        (
            "bench",
            "Say which bench: python -m iwp bench ablation | auto | consistency | efficiency | "
            "growth | select | sharing | similarity.\n",
        ),
    ],
)
@pytest.mark.parametrize("words", [[], ["nosuch"], ["--nosuch"]])
def test_the_commands_of_a_command_are_named(
    command: str, listed: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, [command, *words]) == (2, "", listed)


@pytest.mark.parametrize("command", ["eval", "bench"])
@pytest.mark.parametrize("word", ["-h", "--help"])
def test_the_commands_of_a_command_are_listed(
    command: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = told(capsys, [command, word])
    assert (code, err) == (0, "")
    names = [words[1] for words in COMMANDS if words[0] == command]
    lines = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  ")]
    assert [name for name, about in lines if about] == names


@pytest.mark.parametrize(
    ("words", "module", "rest"),
    [
        (["eval", "scenes", "--limit", "3"], "exam.command", (["--limit", "3"], "scenes")),
        (["eval", "clips", "--seed", "3"], "exam.command", (["--seed", "3"], "clips")),
        (["train-demo-model", "--help"], "scenes.train", (["--help"],)),
    ],
)
def test_scenes_get_their_own_arguments(
    words: list[str], module: str, rest: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def note(*args: object) -> int:
        given.append(args)
        return 0

    monkeypatch.setattr(import_module(f"iwp.{module}"), "main", note)
    assert main(words) == 0
    assert given == [rest]


@pytest.mark.parametrize(
    ("words", "kinds", "fewer"),
    [
        (["eval", "scenes"], 10, "or of --kinds; less than one of each is refused"),
        (["eval", "clips"], 5, "or of --kinds; less than one of each is refused"),
        (["eval", "export"], 10, "but at least one of each"),
        (["bench", "ablation"], 10, "but at least one of each"),
        (["bench", "auto"], 10, "but at least one of each"),
    ],
)
def test_the_help_says_how_many_questions_a_limit_is(
    words: list[str], kinds: int, fewer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = told(capsys, [*words, "--help"])
    assert code == 0
    said = f"rounded down to the same number of each of the {kinds} kinds, {fewer}"
    assert said in " ".join(out.split())
