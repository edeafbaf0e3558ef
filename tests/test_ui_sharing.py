"""What can be taken along of a comparison, and what a link brings back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from PIL import Image

import iwp
from iwp.engine import Engine
from iwp.pruners import DART, IWP, FastV
from iwp.recordings import digest
from iwp.settings import Settings
from iwp.types import Media
from iwp.ui import links, takeaway, text
from iwp.ui.examples import Examples
from iwp.ui.handlers import Handlers
from iwp.ui.knobs import NAMES, Knobs, recommended
from iwp.ui.links import Linked
from iwp.ui.sharing import Sharing
from iwp.ui.sides import Sides
from iwp.ui.sweeps import Sweeps
from iwp.ui.visitors import Asked
from tests import tiny
from tests.browser.fake import FakeEngine
from tests.ui_events import TAB, begin, follow, release

MEDIA = Media((tiny.picture(),))
USUAL = recommended(FakeEngine().vlm, limit=64)
ASKED = Asked("1", MEDIA, "What is <it> & why?", 0.222, "x.jpg", Sides(None, IWP()))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(word_s=0.005)


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    folder = tmp_path / "examples"
    folder.mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (40, 30), name).save(folder / f"{name}.png")
    entries = [{"image": f"{name}.png", "question": f"Is it {name}?"} for name in ("red", "blue")]
    (folder / "examples.json").write_text(json.dumps(entries))
    return Examples(folder)


@pytest.fixture
def sharing(handlers: Handlers, examples: Examples, tmp_path: Path) -> Sharing:
    return Sharing(lambda: handlers.usual, handlers.visitors, examples, str(tmp_path / "cache"))


def opened(sharing: Sharing, **params: str) -> list[Any]:
    """What a link fills in; None where it leaves a field as it is."""
    request: Any = SimpleNamespace(query_params=params, session_hash="tab")
    skip = {"__type__": "update"}
    return [None if field == skip else field for field in sharing.restore(request)]


def read(said: dict[str, str]) -> Linked:
    """What a link says on a page with two examples, whose answers have at most 64 tokens."""
    return links.read(said, examples=2, usual=USUAL)


def changed(knobs: Knobs) -> dict[str, Any]:
    """What was changed, by the names of the panel's fields."""
    found = {
        "layer": knobs.layer,
        "max_new_tokens": knobs.max_new_tokens,
        "temperature": knobs.temperature or None,
        **knobs.options,
    }
    return {name: value for name, value in found.items() if value is not None}


# --- links ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sides",
    [
        *(Sides(None, IWP()), Sides(FastV(), DART()), Sides(IWP(), FastV(), "average")),
        Sides(None, IWP(), "cut", Knobs(0, {"bandwidth": "median", "floor": 0.5}, 9, 0.7)),
        Sides(None, IWP(), "cut", Knobs(options={"rope_magnitude": True, "chunk": 4})),
    ],
    ids=["usual", "arena", "average", "settings", "options"],
)
@pytest.mark.parametrize("budget", [0.222, 0.001, 1.0, 0.353])
@pytest.mark.parametrize("example", [None, 2])
def test_a_link_brings_back_what_was_asked(sides: Sides, budget: float, example: Any) -> None:
    asked = replace(ASKED, sides=sides)
    said = dict(parse_qsl(links.query(asked, budget, example)))
    back = read(said)
    assert back.example == example
    assert back.question == ASKED.question
    assert back.budget == pytest.approx(budget)
    assert back.left == (sides.left.name if sides.left else None)
    assert (back.right or "iwp") == sides.right.name
    assert (back.convention or "cut") == sides.convention
    assert back.knobs == changed(sides.knobs)
    assert back.wrong == ()


def test_a_usual_link_is_short() -> None:
    assert links.query(replace(ASKED, question="Why?"), 0.222, 3) == "example=3&q=Why%3F&b=22.2"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        *(("example", "0"), ("example", "3"), ("example", "x"), ("example", "-1")),
        *(("q", ""), ("q", "x" * 5000), ("b", "0"), ("b", "101"), ("b", "nan"), ("b", "x")),
        *(("left", "nobody"), ("right", "every"), ("right", "__class__"), ("by", "layers")),
        *(("layer", "-1"), ("layer", "x"), ("tokens", "0"), ("tokens", "65"), ("tokens", "x")),
        *(("temperature", "nan"), ("temperature", "3"), ("set", "x"), ("set", "budget=0.5")),
        *(("set", "chunk=0"), ("set", "query=mine"), ("set", "layer=2"), ("set", "floor=x")),
    ],
)
def test_what_cannot_be_used_is_named_and_the_rest_is_read(name: str, word: str) -> None:
    good = {"example": "1", "q": "Why?", "b": "50", "left": "dart", "right": "fastv", "by": "cut"}
    good |= {"layer": "1", "tokens": "7", "temperature": "0.5", "set": "chunk=4"}
    back = read({**good, name: word, "other": "7"})
    assert back.wrong == (name,)
    fields = [back.example, back.question, back.budget, back.left, back.right, back.convention]
    assert fields.count(None) + 4 - len(back.knobs) == 1
    assert read({"__theme": "dark"}) == Linked()


def test_the_page_is_filled_in(sharing: Sharing, examples: Examples, tmp_path: Path) -> None:
    picture, *rest = opened(sharing, example="2", b="50", left="fastv", by="average")
    assert Path(picture).is_relative_to(tmp_path / "cache")
    assert examples.number_of(picture) == 2
    *rest, tab, video = rest
    assert rest == ["Is it blue?", "fastv", None, "average", 0.5, None, *[None] * len(NAMES)]
    assert (tab["selected"], video) == ("picture", None)
    assert opened(sharing) == [None] * (9 + len(NAMES))
    settings = opened(sharing, layer="0", temperature="1", set="chunk=4")[7:-2]
    shown = {name: value for name, value in zip(NAMES, settings, strict=True) if value is not None}
    assert shown == {"layer": 0, "temperature": 1.0, "chunk": 4}
    assert opened(sharing, example="2", q="Another?")[1] == "Another?"
    *nothing, status = opened(sharing, example="99", right="<b>")[:7]
    assert nothing == [None] * 6
    assert text.LINK_WRONG.format("example, right") in status


def test_examples_know_their_pictures_by_content(examples: Examples, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.png"
    copy.write_bytes((examples.folder / "blue.png").read_bytes())
    assert examples.number_of(str(copy)) == 2
    copy.write_bytes(b"something else")
    assert examples.number_of(str(copy)) is None
    assert examples.number_of(str(tmp_path / "gone.png")) is None


def test_a_file_of_another_size_is_not_read(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(digest, "of_file", lambda file: read.append(file) or "none")
    upload = tmp_path / "upload.mp4"
    upload.write_bytes(b"x" * 100_000)
    assert examples.number_of(str(upload)) is None
    assert read == []


def test_a_file_is_hashed_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "upload.mp4").write_bytes(content)
    monkeypatch.delattr(Path, "read_bytes")
    assert digest.of_file(tmp_path / "upload.mp4") == hashlib.sha256(content).hexdigest()


def test_a_drawn_example_is_another_one(sharing: Sharing, examples: Examples) -> None:
    for _ in range(8):
        picture, question, tab, _ = sharing.draw("Is it red?")
        assert question == "Is it blue?"
        assert examples.number_of(picture) == 2
        assert tab["selected"] == "picture"
    assert sharing.choose(0)[1] == "Is it red?"
    assert {sharing.draw("")[1] for _ in range(64)} == {"Is it red?", "Is it blue?"}
    assert Examples(Path("/nowhere")).rows == ()


# --- what is handed out --------------------------------------------------------------------


def test_the_report_comes_with_the_whole_result(
    handlers: Handlers, sharing: Sharing, examples: Examples
) -> None:
    assert sharing.share(TAB) is None
    begin(handlers, str(examples.folder / "blue.png"), "Why?", 0.25)
    begun = sharing.share(TAB)
    assert begun is not None
    assert (begun.query, begun.whole) == ("example=2&q=Why%3F&b=25", True)
    assert (begun.snippet, begun.report) == (None, None)
    follow(handlers)
    done = sharing.share(TAB)
    assert done is not None
    found = json.loads(done.report or "")
    assert found["inputs"]["question"] == "Why?"
    assert found["inputs"]["picture"] == {"width": 40, "height": 30, "example": 2}
    assert set(found["versions"]) == {"iwp", "python", "torch", "transformers", "gradio"}
    assert found["versions"]["iwp"] == iwp.__version__
    assert sorted(found["result"]["ranks"]) == list(range(found["result"]["n_visual"]))
    assert found["result"]["pruned"]["timing"]["total_s"] > 0


def test_it_follows_the_budget_and_ends_with_a_stop(
    handlers: Handlers, sharing: Sharing, engine: FakeEngine, picture: str
) -> None:
    begin(handlers, picture, "Why?", 0.25)
    follow(handlers)
    release(handlers, 0.5, 1)
    list(handlers.repruned(TAB))
    share = sharing.share(TAB)
    assert share is not None
    assert (share.query, share.whole) == ("q=Why%3F&b=50", False)
    assert json.loads(share.report or "")["inputs"]["budget"] == 0.5
    list(Sweeps(engine, handlers.visitors).sweep(TAB))  # type: ignore[arg-type]
    assert sharing.share(TAB) == share
    engine.words = 500
    release(handlers, 0.7, 2)
    running = handlers.repruned(TAB)
    next(running)
    handlers.visitors.get("tab").halt()
    list(running)
    stopped = sharing.share(TAB)
    assert stopped is not None
    assert (stopped.snippet, stopped.report) == (None, None)


@pytest.mark.parametrize(
    "sides",
    [
        Sides(None, IWP(layer=2, bandwidth="median")),
        Sides(FastV(layer=2), IWP(layer=2), "average"),
        Sides(None, IWP(layer=1), "cut", Knobs(max_new_tokens=3, temperature=1.5)),
    ],
    ids=["alone", "arena", "drawn"],
)
def test_the_snippet_runs_and_answers_the_same(
    sides: Sides, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(iwp.load(str(tiny_folder), device="cpu"), Settings(max_new_tokens=4))
    sides = replace(sides, serial=engine.vlm.serial)
    asked = replace(ASKED, sides=sides)
    result = sides.start(engine, MEDIA, asked.question, 0.75).result()
    code = takeaway.snippet(asked, result, sides.knobs.max_new_tokens or 4)
    monkeypatch.chdir(tmp_path)
    MEDIA.frames[0].save("picture.png")
    monkeypatch.setattr(iwp, "load", lambda name: {result.model: engine.vlm}[name], raising=False)
    names: dict[str, Any] = {}
    exec(code, names)
    again = names["result"]
    assert again.method == result.method
    assert (again.pruned.answer, again.kept) == (result.pruned.answer, result.kept)
    assert (again.rival is None) == (sides.left is None)
    assert again.convention == sides.convention
    assert again.temperature == sides.knobs.temperature
