"""What a page may load, and what it says of each model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from iwp.adapters.loading import DEMO_FOLDER
from iwp.catalogue import Catalogue, Entry
from iwp.errors import InputError, ModelError
from iwp.settings import Settings


def test_without_names_the_page_keeps_its_model(tiny_folder: Path) -> None:
    assert [one.name for one in Catalogue.of(Settings()).entries] == ["demo"]
    (only,) = Catalogue.of(Settings(model=str(tiny_folder))).entries
    assert only.source == str(tiny_folder)


def test_the_embedded_model_is_always_there(tiny_folder: Path) -> None:
    settings = Settings(model=str(tiny_folder), models=("some/model", "demo", str(tiny_folder)))
    offered = Catalogue.of(settings)
    assert [one.source for one in offered.entries] == ["demo", str(tiny_folder), "some/model"]
    assert offered.name(str(tiny_folder)) == "tiny-llava-onevision"


def test_the_pages_own_model_is_found_as_it_is_spelt(tiny_folder: Path) -> None:
    for folder in (DEMO_FOLDER, tiny_folder / ".." / tiny_folder.name):
        settings = Settings(model=str(folder), models=(str(tiny_folder),))
        offered = Catalogue.of(settings)
        assert len(offered.entries) == 2
        assert offered.source(offered.name(settings.model)) == settings.model
    assert Catalogue.of(Settings(model=str(DEMO_FOLDER), models=("a/b",))).entries[0].name == "demo"


def test_what_is_known_of_each(tiny_folder: Path) -> None:
    from tests import tiny

    demo, random, elsewhere = Catalogue.of(
        Settings(models=(str(tiny_folder), "some/model"))
    ).entries
    assert (demo.licence, demo.label.startswith("demo (5.6 M parameters, 11.2 MB")) == (
        "apache-2.0",
        True,
    )
    assert random.parameters == sum(p.numel() for p in tiny.model().parameters())
    assert random.nbytes == sum(file.stat().st_size for file in tiny_folder.iterdir())
    assert random.licence is None
    assert "licence" not in random.label
    assert elsewhere.label == "some/model (not on this machine yet)"


def test_a_licence_is_where_it_is_stated(tiny_folder: Path, tmp_path: Path) -> None:
    import json

    folder = tmp_path / "stated"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "license": "mit"}))
    assert Catalogue.of(Settings(models=(str(folder),))).entries[1].licence == "mit"
    (folder / "README.md").write_text("---\nlicense: other\n---\n# Words\n")
    assert Catalogue.of(Settings(models=(str(folder),))).entries[1].licence == "other"


def test_a_revision_is_the_pages_own_models(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for name, extra in (("model", 1000), ("other", 3000)):
        repository = tmp_path / f"models--owner--{name}"
        for branch, commit, size in (("main", "a" * 40, 0), ("old", "b" * 40, extra)):
            snapshot = repository / "snapshots" / commit
            shutil.copytree(tiny_folder, snapshot)
            (snapshot / "notes.txt").write_bytes(bytes(size))
            (repository / "refs").mkdir(exist_ok=True)
            (repository / "refs" / branch).write_text(commit)
    _, own, other = Catalogue.of(
        Settings(model="owner/model", revision="old", models=("owner/other",))
    ).entries
    plain = sum(file.stat().st_size for file in tiny_folder.iterdir())
    assert (own.nbytes, other.nbytes) == (plain + 1000, plain)


def test_two_folders_of_one_name_can_be_told_apart(tiny_folder: Path, tmp_path: Path) -> None:
    import shutil

    twin = tmp_path / "tiny-llava-onevision"
    shutil.copytree(tiny_folder, twin)
    offered = Catalogue.of(Settings(models=(str(tiny_folder), str(twin))))
    names = [one.name for one in offered.entries]
    assert names == ["demo", "tiny-llava-onevision", "tiny-llava-onevision 2"]
    assert offered.source(names[2]) == str(twin)


@pytest.mark.parametrize("sent", ["/etc", "", None, 3, ["demo"], "other/model"])
def test_nothing_else_is_loaded(sent: object) -> None:
    with pytest.raises(InputError, match="does not offer"):
        Catalogue.of(Settings(models=("some/model",))).source(sent)


def test_a_wrong_name_is_told_when_the_page_starts(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        Catalogue.of(Settings(models=("/no/such/folder",)))
    with pytest.raises(ModelError, match="config"):
        Catalogue.of(Settings(models=(str(tmp_path),)))


@pytest.mark.parametrize(
    ("entry", "label"),
    [
        (Entry("a", "a", 900, 1234), "a (1,234 parameters, 1 kB)"),
        (
            Entry("b", "b", 16_500_000_000, 8_030_000_000, "mit"),
            "b (8.0 B parameters, 16.5 GB, licence mit)",
        ),
    ],
)
def test_labels(entry: Entry, label: str) -> None:
    assert entry.label == label
