"""The command line: what it prints, and what it says to input that cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import iwp
from iwp import tower
from iwp.__main__ import main, parse_budget
from iwp.errors import InputError
from tests import tiny

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "picture.png"
    tiny.picture().save(path)
    return str(path)


@pytest.fixture
def run(tiny_folder: Path, picture: str) -> list[str]:
    """A `run` that works; options that come later win."""
    asked = ["--image", picture, "--question", "What is it?", "--model", str(tiny_folder)]
    return ["run", *asked, "--device", "cpu", "--max-new-tokens", "3"]


def _refusal(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """Runs words that must be refused; returns the one sentence on stderr."""
    try:
        code: object = main(words)
    except SystemExit as stopped:
        code = stopped.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


# --- what works --------------------------------------------------------------------------


def test_run_prints_both_answers(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(run) == 0
    out = capsys.readouterr().out
    assert "Every visual token: " in out
    assert "Kept tokens only: " in out
    assert "First token after" in out


def test_json_is_one_object(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*run, "--budget", "22.2%", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["budget"] == pytest.approx(0.222)
    assert len(content["kept"]) == iwp.keep_count(content["n_visual"], 0.222)
    assert len(content["ranks"]) == content["n_visual"]
    for side in ("baseline", "pruned"):
        assert {"answer", "timing", "visual_tokens", "kv_bytes"} <= set(content[side])
    assert content["device"] == "cpu"


@pytest.mark.parametrize("mode", ["mask", "heat", "outline"])
def test_overlay_is_saved_at_the_size_of_the_picture(
    run: list[str], tmp_path: Path, mode: str
) -> None:
    file = tmp_path / "kept.png"
    assert main([*run, "--overlay", str(file), "--mode", mode]) == 0
    with Image.open(file) as overlay:
        assert overlay.size == tiny.picture().size


def test_method_and_layer_can_be_chosen(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*run, "--json", "--method", "uniform", "--layer", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["method"].startswith("Uniform(budget=0.222, layer=3")


def test_options_of_the_method_can_be_set(
    run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", "bandwidth=median", "--set", "rope_magnitude=True", "--set", "penalty=1"]
    assert main([*run, "--json", *words, "--attention", "eager"]) == 0
    content = json.loads(capsys.readouterr().out)
    for said in ("bandwidth='median'", "rope_magnitude=True", "penalty=1"):
        assert said in content["method"]
    assert content["attention"] == "eager"


def test_the_method_can_find_its_budget(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    kept = []
    for tolerance in ("0.9", "0.1"):
        words = ["--set", "measure=dual_weight", "--set", f"tolerance={tolerance}"]
        assert main([*run, "--json", "--budget", "auto", *words]) == 0
        content = json.loads(capsys.readouterr().out)
        assert content["budget"] == len(content["kept"]) / content["n_visual"]
        assert content["fidelity"]["dual_weight_error"] <= float(tolerance)
        kept.append(len(content["kept"]))
    assert kept[0] < kept[1]


def test_rank_lists_every_token(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rank", *run[1:-2]]
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert sorted(content["ranks"]) == list(range(content["n_visual"]))
    assert len(content["scores"]) == content["n_visual"]
    assert main([*words, "--top", "3"]) == 0
    first = content["ranks"].index(0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert f"token {first:>6}" in lines[1]
    assert lines[-1] == "A budget of this method is the fraction left at the cut."


def test_rank_says_why_scores_do_not_fall(
    run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for method, said in (("iwp", True), ("magnitude", False), ("pyramiddrop", False)):
        assert main(["rank", *run[1:-2], "--top", "1000", "--method", method]) == 0
        assert ("scores need not fall" in capsys.readouterr().out) == said


def test_rank_of_a_method_that_is_not_nested_is_at_a_budget(
    run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*run[1:-2], "--method", "tome", "--budget", "0.3", "--json"]
    assert main(["rank", *words]) == 0
    ranks = json.loads(capsys.readouterr().out)["ranks"]
    assert main(["run", *words]) == 0
    kept = json.loads(capsys.readouterr().out)["kept"]
    assert sorted(token for token, rank in enumerate(ranks) if rank < len(kept)) == kept
    assert kept != list(range(len(kept)))


def test_two_methods_in_either_convention(
    run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*run, "--method", "uniform", "--against", "divprune", "--budget", "0.8"]
    found = {}
    for convention in ("cut", "average"):
        assert main([*words, "--convention", convention, "--json"]) == 0
        found[convention] = content = json.loads(capsys.readouterr().out)
        assert content["convention"] == convention
        assert content["rival"]["method"].startswith("DivPrune(")
        assert content["rival"]["kept_share"] == content["rival"]["layer_average"]  # layer 0
    cut, average = found["cut"], found["average"]
    n = cut["n_visual"]
    for share in (cut["kept_share"], cut["rival"]["kept_share"], average["layer_average"]):
        assert share == pytest.approx(0.8, abs=0.5 / n)
    assert cut["layer_average"] > 0.8 > average["kept_share"]
    assert main([*words, "--convention", "average"]) == 0
    out = capsys.readouterr().out
    assert "left, DivPrune" in out
    assert "right, Uniform" in out
    assert "Layer average" in out
    assert "asked for layer average 80.0 %" in out


def test_overlay_of_two_methods_shows_left_right_and_difference(
    run: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "kept.png"
    assert main([*run, "--against", "random", "--overlay", str(file)]) == 0
    width, height = tiny.picture().size
    with Image.open(file) as overlay:
        assert overlay.size == (3 * width + 2 * 8, height)


# --- what does not -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"), [("0.222", 0.222), ("22.2%", 0.222), (" 100 % ", 1.0), ("1", 1.0)]
)
def test_a_budget_is_a_fraction_or_percent(text: str, value: float) -> None:
    assert parse_budget(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["0", "0%", "101%", "1.01", "nan", "nan%", "inf", "-5%", "", "few"]
)
def test_other_budgets_are_refused(
    text: str, run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError):
        parse_budget(text)
    _refusal(capsys, [*run, f"--budget={text}"])


def test_a_missing_picture_is_named(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _refusal(capsys, [*run, "--image", "/no/such/picture.png"])


def test_a_file_that_is_no_picture(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notes.png"
    file.write_text("not a picture")
    _refusal(capsys, [*run, "--image", str(file)])


@pytest.mark.parametrize("question", ["", "   ", "x" * 100_000])
def test_a_question_that_cannot_be_used(
    question: str, run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _refusal(capsys, [*run, "--question", question])


def test_special_tokens_in_a_question_are_plain_text(run: list[str]) -> None:
    assert main([*run, "--question", "<image> <|im_end|> what is it?"]) == 0


def test_an_unknown_model_without_network(
    run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no-such/model" in _refusal(capsys, [*run, "--model", "no-such/model"])


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (["--method", "magic"], "iwp, magnitude, random, uniform, fastv"),
        (["--against", "magic"], "iwp, magnitude, random, uniform, fastv"),
        (["--convention", "mean"], "mean"),
        (["--convention", "average", "--budget", "0.01"], "cannot bring the layer average down"),
        (["--convention", "average", "--budget", "auto"], "auto"),
        (["--layer", "99"], "layer"),
        (["--layer", "-1"], "layer"),
        (["--layer", "two"], "two"),
        (["--max-new-tokens", "0"], "at least 1"),
        (["--mode", "glow"], "glow"),
        (["--nonsense"], "nonsense"),
        (["--set", "bandwidth"], "bandwidth=median"),
        (["--set", "bandwith=median"], "bandwidth"),
        (["--set", "bandwidth=wide"], "sqrt_d, median"),
        (["--set", "chunk=two"], "chunk='two'"),
        (["--budget", "auto", "--method", "random"], "Only IWP"),
        (["--dtype", "int3"], "float32"),
        (["--attention", "magic"], "sdpa"),
        (["--device", "", "--device-map", "nowhere"], "auto"),
        (["--quantization", "3bit"], "4bit"),
    ],
)
def test_options_that_cannot_be_used(
    extra: list[str], named: str, run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert named in _refusal(capsys, [*run, *extra])


@pytest.mark.parametrize("side", ["--method", "--against"])
def test_a_method_that_this_model_does_not_allow(
    side: str, run: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(tower.TOWERS, "llava_onevision")
    assert "vision tower" in _refusal(capsys, [*run, side, "visionzip"])


def test_an_overlay_that_cannot_be_saved(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "cannot be saved" in _refusal(
        capsys, [*run, "--overlay", str(tmp_path / "no" / "a.png")]
    )
    assert "cannot be saved" in _refusal(capsys, [*run, "--overlay", str(tmp_path / "a.nonsense")])


def test_a_bad_environment_is_named(
    run: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IWP_THREADS", "lots")
    assert "IWP_THREADS" in _refusal(capsys, run)


def test_no_command_at_all() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "iwp"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 2
    assert shown.stderr.count("\n") == 1
