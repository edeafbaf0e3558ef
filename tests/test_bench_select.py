"""The selection bench: every method, every cut, the same prompt for all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import Qwen2Config

from iwp.__main__ import main
from iwp.bench import select
from iwp.pruners import IWP, PRUNERS, LayerView, PyramidDrop, Random

CONFIG = Qwen2Config(
    hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=8
)


def scene(n: int) -> LayerView:
    return select.scene(n, CONFIG, torch.device("cpu"), torch.float32)


def test_every_method_is_timed_at_every_size() -> None:
    methods = [kind(**kind.suited(28, {}), budget=0.3) for kind in PRUNERS.values()]
    rows = list(select.measured(methods, (8, 20), 1, scene))
    assert [row["method"] for row in rows] == list(PRUNERS)
    assert all(float(row["20 tokens, ms"]) > 0 for row in rows)
    assert rows[0]["8, ratio to iwp"] == "1"


def test_the_table_says_what_is_not_in_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "measured", lambda *_: iter([{"method": "iwp"}]))
    assert main(["bench", "select"]) == 0
    assert "tower's pass is not in it" in capsys.readouterr().out.splitlines()[-1]


def test_who_waits_is_told_what_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["bench", "select", "--methods", "random", "--tokens", "8,20", "--repeats", "1"]
    monkeypatch.setattr(select, "PAUSE_S", 0)
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert [line.rpartition(",")[0] for line in err.splitlines()] == [
        f"{n} tokens, turn {turn} of 2, {method}"
        for n in (8, 20)
        for turn in (1, 2)
        for method in ("iwp", "random")
    ]
    assert "turn" not in out
    monkeypatch.setattr(select, "PAUSE_S", 1000)
    assert main(words) == 0
    assert capsys.readouterr().err.count("\n") == 1


def test_a_later_cut_sees_what_the_one_before_has_left() -> None:
    view, seen = scene(20), []

    class Noting(Random):
        def choose(self, view: LayerView) -> object:
            seen.append((view.n, view.n_uncut, len(view.prompt), view.previous.n))
            return super().choose(view)

    class Twice(Random):
        cuts = (Noting(0.5), Noting(0.2))

    select.seconds(Twice(), view)
    text = len(view.prompt) - 20
    assert seen == [(20, 20, 20 + text, 20), (10, 20, 10 + text, 10)]


def test_a_shortened_view_is_the_shorter_prompt() -> None:
    view, kept = scene(20), torch.arange(3, 15)
    shorter = select._shortened(view, kept)
    rows = shorter.prompt
    alone = replace(
        view,
        hidden=view.hidden[rows],
        cos=view.cos[rows],
        sin=view.sin[rows],
        prompt=torch.arange(len(rows)),
        visual=torch.searchsorted(rows, view.visual[kept]),
        text=torch.searchsorted(rows, view.text),
    )
    for method in (IWP(0.3), PyramidDrop(0.5)):
        assert torch.equal(method.choose(shorter).kept, method.choose(alone).kept)


def test_nothing_that_a_view_has_computed_is_used_again() -> None:
    view = scene(12)
    first = view.keys
    assert select._without_memory(view).keys is not first


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tokens", "many"], "--tokens takes numbers"),
        (["--tokens", "8,1"], "not '1'"),
        (["--repeats", "0"], "at least once"),
    ],
)
def test_wrong_sizes_get_a_sentence(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "select", *words]) == 2
    assert says in capsys.readouterr().err


def test_unknown_methods_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "select", "--methods", "fastv,nothing"]) == 2
    assert "'nothing'" in capsys.readouterr().err
