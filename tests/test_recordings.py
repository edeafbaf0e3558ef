"""The recorded examples: still what the shipped model says, and read as they were written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from iwp.budget import keep_count
from iwp.engine import Engine
from iwp.errors import IWPError
from iwp.gallery import recorder
from iwp.recordings import FILE, Recording, Recordings, digest, read, write
from iwp.report import percent, sweep_rows
from iwp.settings import Settings
from iwp.sweep import BUDGETS
from iwp.ui.examples import EXAMPLES, Examples

RENEW = "renew the recordings: python -m iwp gallery --record"


@pytest.fixture(scope="module")
def shipped() -> Recordings:
    found = read(EXAMPLES / FILE)
    assert found is not None, RENEW
    return found


def test_the_model_has_not_changed_since(shipped: Recordings) -> None:
    assert shipped.model == "demo"
    assert shipped.digest == digest.of_model("demo"), RENEW


def test_every_example_is_recorded_as_it_is(shipped: Recordings) -> None:
    asked = [(digest.of_file(file), question) for file, question in Examples(EXAMPLES).asked]
    assert [(one.digest, one.question) for one in shipped.entries] == asked, RENEW
    for one in shipped.entries:
        assert [result.budget for result in one.results] == list(BUDGETS)


def differences(old: Recording, new: Recording) -> list[str]:
    """What of an example has changed. Processors add in other orders: near ties may swap."""
    n, found = old.layout.n, []
    if old.layout != new.layout:
        found.append("layout")
    for before, now in zip(old.results, new.results, strict=True):
        keep = keep_count(n, before.budget)
        swapped = ((old.ranking.ranks < keep) & (new.ranking.ranks >= keep)).sum()
        if swapped > max(2, keep // 50):
            found.append(f"{swapped} of {keep} kept tokens")
        answers = [(one.baseline.answer, one.pruned.answer) for one in (before, now)]
        if answers[0] != answers[1]:
            found.append(f"answers {answers[0]} are {answers[1]}")
    return found


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_shipped_model_still_says_so(shipped: Recordings) -> None:
    engine = Engine.load(Settings(device="cpu"))
    *entries, together = recorder.record(engine, Examples(EXAMPLES).asked)
    assert isinstance(together, Recordings)
    assert dict(shipped.options) == dict(together.options)
    changed = {
        old.file: told
        for old, new in zip(shipped.entries, together.entries, strict=True)
        if (told := differences(old, new))
    }
    assert changed == {}, RENEW
    assert entries == list(together.entries)


def test_a_change_is_seen(shipped: Recordings) -> None:
    one = shipped.entries[0]
    assert differences(one, one) == []
    other = replace(one.ranking, ranks=one.ranking.ranks.flip(0))
    assert differences(one, replace(one, ranking=other))
    first, *rest = one.results
    wrong = replace(first, pruned=replace(first.pruned, answer="a cat"))
    assert len(differences(one, replace(one, results=(wrong, *rest)))) == 1


def test_written_and_read_again(shipped: Recordings, tmp_path: Path) -> None:
    file = tmp_path / FILE
    write(shipped, file)
    assert file.read_bytes() == (EXAMPLES / FILE).read_bytes()
    again = read(file)
    assert again is not None
    for old, new in zip(shipped.entries, again.entries, strict=True):
        assert old.results == new.results
        assert torch.equal(old.ranking.scores, new.ranking.scores)


def test_ranks_say_what_the_engine_kept(tiny_folder: Path, tmp_path: Path) -> None:
    engine = Engine.load(Settings(model=str(tiny_folder), device="cpu", max_new_tokens=4))
    picture = tmp_path / "scene.png"
    from tests import tiny

    tiny.picture(70, 50).save(picture)
    made, together = recorder.record(engine, [(picture, "What is it?")], turns=2)
    assert isinstance(together, Recordings)
    assert isinstance(made, Recording)
    assert together.digest == ""  # only the embedded model's files are small enough
    write(together, tmp_path / FILE)
    again = read(tmp_path / FILE)
    assert again is not None
    assert again.entries[0].results == made.results
    assert again.method(0.222).layer == engine.vlm.pruner.get("layer", again.method(0.222).layer)
    assert made.media(picture).size == (70, 50)


def test_budgets_are_found_by_their_step(shipped: Recordings) -> None:
    one = shipped.entries[0]
    assert one.at(22.2 / 100) is not None
    assert one.at(0.4) is None
    assert (one.nearest(0.4), one.nearest(0.001)) == (0.353, 0.05)


def test_a_recording_is_a_sweep(shipped: Recordings) -> None:
    for one in shipped.entries:
        found = one.sweep()
        assert [point.budget for point in found.points] == list(BUDGETS)
        whole = one.results[0].baseline
        assert found.points[0].answer == whole
        assert found.points[0].agreement == 1.0
        for point, result in zip(found.points[1:], one.results[1:], strict=True):
            assert point.answer == result.pruned
            same = point.answer.answer == whole.answer
            assert (point.agreement == 1.0) == same == point.fidelity.same_answer
        assert [row[0] for row in sweep_rows(found)[1:]] == [percent(b) for b in BUDGETS]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"entries": 3}'])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / FILE
    file.write_text(content)
    with pytest.raises(IWPError, match="gallery --record"):
        read(file)
    assert read(tmp_path / "none.json") is None


def test_changed_weights_change_the_digest(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "MODEL_CARD.md").write_text("words")
    before = digest.of_folder(tmp_path)
    (tmp_path / "MODEL_CARD.md").write_text("other words")
    assert digest.of_folder(tmp_path) == before
    (tmp_path / "config.json").write_text(json.dumps({"a": 2}))
    assert digest.of_folder(tmp_path) != before
