"""What the efficiency bench counts and compares; no test looks at a time."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from iwp import adapters, generate, measure, steps
from iwp.__main__ import main
from iwp.bench import efficiency, limit, memory, prompts, turns
from iwp.bench.turns import Spread, Turn
from iwp.pruners import IWP, DivPrune, PyramidDrop, VisionZip, VisPruner
from iwp.types import Tower

if TYPE_CHECKING:
    from pathlib import Path

    from iwp.adapters.base import VLM

LAYERS = 8
COPIED = limit._BYTES


@pytest.fixture(autouse=True)
def short_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test looks at a time, so none needs a long copy."""
    monkeypatch.setattr(limit, "_BYTES", 2**20)


@pytest.fixture(scope="module")
def demo() -> VLM:
    return adapters.load("demo", device="cpu")


# --- what is asked --------------------------------------------------------------------------


def test_a_picture_is_encoded_every_time(demo: VLM) -> None:
    asked = prompts.picture(demo, 196, 196, "What is it?", looks=True)
    layout = demo.adapter.layout(196, 196)
    read = asked.read()
    assert (asked.n, len(read.inputs["visual"])) == (layout.n, layout.n)
    assert read.inputs["embeds"].shape[1] == asked.n + asked.text
    assert read.encode_s is not None
    assert read.inputs["tower"] is not None
    assert (
        prompts.picture(demo, 196, 196, "What is it?", looks=False).read().inputs["tower"] is None
    )


def test_made_up_tokens_are_the_same_every_time(demo: VLM) -> None:
    one, two = (prompts.made_up(demo, 30).read() for _ in range(2))
    assert torch.equal(one.inputs["embeds"], two.inputs["embeds"])
    assert one.inputs["embeds"].shape[1] == prompts.BEFORE + 30 + prompts.AFTER
    assert one.encode_s is None
    for method in (IWP(0.2), VisPruner(0.2)):
        state = generate.prefill(demo.model, **one.inputs, pruner=method)
        assert len(state.trace.cuts[-1].kept) == 6


# --- what is measured -----------------------------------------------------------------------


def test_an_answer_counts_the_look_at_the_tower_for_those_who_look(demo: VLM) -> None:
    read = prompts.made_up(demo, 40).read()
    saliency, keys = torch.rand(40), torch.rand(40, 8)
    slow = replace(read, inputs={**read.inputs, "tower": Tower(saliency, keys, seconds=1000.0)})
    looking = turns.answered(demo, slow, VisionZip(0.25), 2)
    assert looking.prefill_s > looking.selection_s > 1000
    for blind in (None, IWP(0.25)):
        turn = turns.answered(demo, slow, blind, 2)
        assert turn.prefill_s < 1000
        assert (turn.selection_s > 0) == (blind is not None)


def test_an_answer_knows_its_cuts_and_its_cache(demo: VLM) -> None:
    read = prompts.made_up(demo, 40).read()
    text = prompts.BEFORE + prompts.AFTER
    row = 2 * 2 * 64 * 4  # keys and values of two heads of 64, float32
    turn = turns.answered(demo, read, IWP(0.25, layer=3), 2)
    assert turn.plan == [(3, 10)]
    assert turn.kv_bytes == row * (3 * (40 + text) + 5 * (10 + text))
    assert turns.answered(demo, read, None, 2).plan == []


@pytest.mark.parametrize(
    ("plan", "seconds"),
    [
        ([], 80.0),
        ([(4, 10)], 0.5 * 80 + 0.5 * 16),
        ([(0, 10)], 16.0),
        ([(2, 30), (4, 10)], 0.25 * 80 + 0.25 * 40 + 0.5 * 16),
        ([(9, 10)], 80.0),  # the decoder ends before it
    ],
)
def test_an_ideal_prefill_is_made_of_layers(plan: Any, seconds: float) -> None:
    whole = {100: 80.0, 30: 40.0, 10: 16.0}
    assert turns.ideal_s(plan, whole, 100, LAYERS) == pytest.approx(seconds)


def test_methods_take_turns_and_are_compared_within_a_turn(
    demo: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    slower = iter([100.0, 1.0, 2.0, 40.0])  # the machine, turn by turn; the first warms up

    def answered(vlm: VLM, read: Any, method: Any, new_tokens: int) -> Turn:
        seen.append("full" if method is None else method.name)
        plan = [] if method is None else [(4, 10)]
        prefill = 8.0 if method is None else 5.0
        return Turn(2 * now[0], 0.5 * now[0], prefill * now[0], 3 * now[0], 77, plan)

    def whole(vlm: VLM, inputs: Any, kept: int) -> float:
        assert kept == 10
        return 1.0 * now[0]

    def read() -> prompts.Read:
        now[0] = next(slower, 1.0)
        return prompts.made_up(demo, 40).read()

    now = [0.0]
    monkeypatch.setattr(turns, "answered", answered)
    monkeypatch.setattr(turns, "_seconds_without", whole)
    monkeypatch.setattr(memory, "peak_bytes", lambda *_: 1000)
    asked = replace(prompts.made_up(demo, 40), read=read)
    full, iwp = turns.measured(demo, asked, [None, IWP(0.25)], new_tokens=4, repeats=3)
    assert seen == ["iwp", "full", "full", "iwp", "iwp", "full", "full", "iwp"]
    assert full.prefill_speedup == full.latency_speedup == full.of_ideal == 1.0
    assert iwp.prefill_speedup == pytest.approx(8 / 5)
    assert iwp.latency_speedup == pytest.approx((2 + 8 + 3) / (2 + 5 + 3))
    assert iwp.of_ideal == pytest.approx((2 + 0.5 * 8 + 0.5 * 1) / (2 + 5))
    assert iwp.parts["prefill"] == Spread(10.0, 7.5, 105.0)
    assert iwp.parts["decode"].median == 2.0  # of three steps
    assert (iwp.kept, iwp.average, full.average) == (10, 25.0, 40.0)
    weights = sum(p.nbytes for p in demo.model.parameters())
    assert iwp.peak_bytes >= weights + 1000


def test_a_fast_token_is_written_in_slots(demo: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    plain = steps.Fixed

    def noting(*given: Any) -> Any:
        made.append(given[-1])
        return plain(*given)

    monkeypatch.setattr(steps, "Fixed", noting)
    asked = prompts.made_up(demo, 40)
    one, _ = turns.measured(demo, asked, [None, IWP(0.25)], new_tokens=4, repeats=1, fast=True)
    assert made == [3] * 4  # of two methods, in two turns
    assert one.parts["fast"].median > 0
    (none,) = turns.measured(demo, asked, [None], new_tokens=4, repeats=1)
    assert len(made) == 4
    assert "fast" not in none.parts


def test_the_limit_counts_what_a_token_reads(demo: VLM, tiny_model: Any) -> None:
    decoder = tiny_model.get_decoder()
    words, out = tiny_model.get_input_embeddings().weight, tiny_model.lm_head.weight
    whole = sum(weight.nbytes for weight in decoder.parameters())
    assert words is not out
    assert limit.weights_read(tiny_model) == whole - words.nbytes + out.nbytes
    tied = demo.model.get_input_embeddings().weight is demo.model.get_output_embeddings().weight
    whole = sum(weight.nbytes for weight in demo.model.get_decoder().parameters())
    assert tied
    assert limit.weights_read(demo.model) == whole
    assert limit.token_s(demo.model, demo.device) > 0


@pytest.mark.parametrize("kind", ["cpu", "meta"])
def test_a_copy_does_not_fit_into_caches(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    sizes: list[int] = []
    plain = torch.ones

    def noting(size: int, **more: Any) -> torch.Tensor:
        sizes.append(size)
        return plain(8, **more)

    monkeypatch.setattr(limit, "_BYTES", COPIED)
    monkeypatch.setattr(torch, "ones", noting)
    assert limit.bandwidth(torch.device(kind)) > 0
    assert sizes == [2**30]


def test_short_prompts_are_read_whole(demo: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    read, seen = prompts.made_up(demo, 40).read(), []
    plain = generate.prefill

    def noting(model: Any, embeds: Any, visual: Any, **more: Any) -> Any:
        seen.append((embeds.shape[1], len(visual), more.get("pruner")))
        return plain(model, embeds, visual, **more)

    monkeypatch.setattr(generate, "prefill", noting)
    assert turns._seconds_without(demo, read.inputs, 7) > 0
    assert seen == [(prompts.BEFORE + 7 + prompts.AFTER, 7, None)]


def test_spreads() -> None:
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3.0, 2.0, 4.0)


# --- the commands ---------------------------------------------------------------------------

PLACE = "efficiency-demo-4-layers"
PAGE = f"# Speed\n<!-- {PLACE}: written by `nobody` -->\n<!-- {PLACE}: end -->\n"
SHORT = ["--random", "demo", "--layers", "4", "--repeats", "1"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_efficiency_writes_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "speed.md"
    page.write_text(PAGE)
    words = ["--pictures", "196x196", "--tokens", "50", "--methods", "iwp,visionzip"]
    words += ["--budgets", "0.3,0.1", "--new-tokens", "2"]
    command = ["bench", "efficiency", *SHORT, *words]
    assert main([*command, "--out", str(tmp_path), "--write", str(page)]) == 0
    table = rows(tmp_path / "efficiency.csv")
    assert [row["method"].split("(")[0] for row in table] == [
        *("full", "IWP", "IWP", "VisionZip", "VisionZip")
    ] * 2
    assert [float(row["encode_s"]) > 0 for row in table] == [True] * 5 + [False] * 5
    made_up = table[5:]
    assert [int(row["kept"]) for row in made_up] == [50, 15, 5, 15, 5]
    # The short decoder has 4 of 8 layers, so IWP cuts before layer 2.
    assert [float(row["layer_average_tokens"]) for row in made_up] == [50, 32.5, 27.5, 15, 5]
    assert all(float(row["of_ideal"]) > 0 for row in table)
    assert all(float(row["fast_s"]) > 0 for row in table)
    assert len({row["limit_s"] for row in table}) == 1
    assert {row["model"] for row in table} == {"demo, random weights, 4 of 8 layers"}
    assert {row["attention"] for row in table} == {"sdpa"}
    assert (tmp_path / "efficiency.png").read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert f"`python -m iwp {' '.join(command)}" in text
    assert "| iwp 30 % | 15 |" in text
    assert "a token, fast, ms | of limit, x |" in text
    assert "torch: " in text
    assert "| iwp 30 % | 15 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("bench", "words", "says"),
    [
        ("efficiency", ["--new-tokens", "1"], "at least 2 new tokens"),
        ("efficiency", ["--budgets", "half"], "fraction"),
        ("efficiency", ["--tokens", "1"], "numbers above 1"),
        ("efficiency", ["--pictures", "640"], "sizes such as 640x480"),
        ("efficiency", ["--repeats", "0"], "at least once"),
        ("efficiency", ["--model", "demo", "--layers", "4"], "give --random"),
        ("efficiency", ["--random", "llava"], "llava-onevision-7b"),
        ("efficiency", ["--random", "demo", "--layers", "9"], "2 to 8"),
        ("efficiency", ["--random", "demo", "--device-map", "auto"], "one device"),
        ("efficiency", ["--random", "demo", "--layer", "8"], "at most 7"),
        ("efficiency", ["--random", "demo", "--methods", "nothing"], "no method 'nothing'"),
        ("growth", ["--max-tokens", "100"], "at least 256"),
        ("growth", ["--budget", "2"], "fraction"),
    ],
)
def test_what_cannot_be_measured_gets_a_sentence(
    bench: str, words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", bench, *words, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_threads_are_torchs_own_again(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    with measure.threads(before + 1):
        words = ["--tokens", "10", "--new-tokens", "2", "--out", str(tmp_path), "--threads", "1"]
        assert main(["bench", "efficiency", *SHORT, *words]) == 0
        assert torch.get_num_threads() == before + 1
    assert rows(tmp_path / "efficiency.csv")[0]["CPU threads"] == "1"


def test_lines_are_named_by_method_and_budget(demo: VLM) -> None:
    asked = prompts.made_up(demo, 10)
    names = [
        efficiency.Result(asked, method, None, 1.0).name  # type: ignore[arg-type]
        for method in (None, IWP(0.111), DivPrune(0.05), PyramidDrop(0.5))
    ]
    assert names == ["every token", "iwp 11.1 %", "divprune 5 %", "pyramiddrop 50 %"]
