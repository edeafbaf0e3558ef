"""Videos from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest
from PIL import Image

from iwp.__main__ import main
from iwp.video import open_video
from tests import clips, tiny

SIDE = 2  # tokens along a side of a frame
TIMES = [0.0, 0.8, 1.5, 2.3]  # of four frames


@pytest.fixture
def video(tmp_path: Path) -> str:
    path = tmp_path / "clip.dat"  # the name says nothing
    path.write_bytes(clips.film())
    return str(path)


@pytest.fixture
def run(tiny_folder: Path, video: str) -> list[str]:
    """A `run` that works; options that come later win."""
    asked = ["--video", video, "--question", "What is it?", "--model", str(tiny_folder)]
    return ["run", *asked, "--device", "cpu", "--frames", "4", "--max-new-tokens", "3"]


def _refusal(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    try:
        code: object = main(words)
    except SystemExit as stopped:
        code = stopped.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_json_tells_frames_and_times(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*run, "--json", "--budget", "0.5"]) == 0
    content = json.loads(capsys.readouterr().out)
    frames = content["frames"]
    assert [frame["times"] for frame in frames] == [[pytest.approx(t, abs=1e-3)] for t in TIMES]
    assert [frame["first_token"] for frame in frames] == [i * SIDE**2 for i in range(4)]
    for frame in frames:
        own = range(frame["first_token"], frame["first_token"] + frame["tokens"])
        assert frame["kept"] == sum(token in own for token in content["kept"])
    assert content["n_visual"] == 4 * SIDE**2 + 1  # a last token ends the clip
    assert main([*run, "--json", "--frames", "99"]) == 0
    assert len(json.loads(capsys.readouterr().out)["frames"]) == 24  # it has no more


def test_the_table_tells_frames(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*run, "--budget", "1"]) == 0
    out = capsys.readouterr().out
    assert "frames: 4, the last at 2.30 s; tokens kept of each: 4 4 4 4\n" in out


def test_the_model_says_how_many_frames(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    at = run.index("--frames")
    words = [*run[:at], *run[at + 2 :], "--json"]
    assert main(words) == 0
    assert len(json.loads(capsys.readouterr().out)["frames"]) == 24  # of up to 32


def test_rank_says_in_which_frame_a_token_lies(
    run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["rank", *run[1:-2]]
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [frame["first_token"] for frame in content["frames"]] == [0, 4, 8, 12]
    assert "kept" not in content["frames"][0]
    assert main([*words, "--top", "17"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:-2]
    told = {int(line.split()[2]): line.split("score")[1].split()[1:] for line in lines}
    assert told.pop(16) == []
    assert told == {token: ["Frame", str(token // 4 + 1)] for token in range(16)}


def test_an_overlay_as_mp4(run: list[str], tmp_path: Path) -> None:
    file = tmp_path / "kept.MP4"
    assert main([*run, "--overlay", str(file), "--budget", "0.5", "--json"]) == 0
    with av.open(str(file)) as made:
        frames = [frame.to_ndarray(format="rgb24") for frame in made.decode(video=0)]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 5  # the last one twice
    levels = [clips.grey(round(10 * time)) for time in TIMES]
    for frame, level in zip(frames, levels, strict=False):
        assert frame.max() <= level + 5
    lit = [(frame > level - 5).mean() for frame, level in zip(frames, levels, strict=False)]
    assert sum(lit) / 4 == pytest.approx(0.5, abs=0.1)


def test_an_overlay_as_one_picture_of_all_frames(run: list[str], tmp_path: Path) -> None:
    file = tmp_path / "kept.png"
    assert main([*run, "--overlay", str(file), "--budget", "1", "--json"]) == 0
    with Image.open(file) as sheet:
        assert sheet.size == (2 * 64 + 8, 2 * 48 + 8)
        cells = [sheet.crop((x, y, x + 64, y + 48)) for y in (0, 56) for x in (0, 72)]
    assert [clips.number(cell) for cell in cells] == [0, 8, 15, 23]


def test_overlays_of_two_methods_show_left_right_and_difference(
    run: list[str], tmp_path: Path
) -> None:
    for name, size in (("kept.mp4", (208, 48)), ("kept.png", (208, 4 * 48 + 3 * 8))):
        file = str(tmp_path / name)
        assert main([*run, "--against", "random", "--overlay", file, "--json"]) == 0
        if name.endswith("png"):
            with Image.open(file) as sheet:
                assert sheet.size == size
        else:
            assert open_video(file, 1).size == size


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (["--frames", "0"], "1 to 256 frames"),
        (["--frames", "many"], "many"),
        (["--overlay", "/no/such/folder/a.mp4"], "cannot be saved"),
        (["--overlay", "a.webm"], "cannot be saved"),
        (["--image", "picture.png"], "not allowed with"),
        (["--video", "absent.mp4"], "no file 'absent.mp4'"),
        (["--video", __file__], "not an MP4, MOV, WebM, MKV, AVI or GIF video"),
    ],
)
def test_what_cannot_be_used(
    extra: list[str], named: str, run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert named in _refusal(capsys, [*run, *extra])


def test_pictures_and_videos_are_told_apart(
    run: list[str], video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", *run[3:]]
    assert "one of the arguments --image --video is required" in _refusal(capsys, words).lower()
    assert "--frames counts the frames of a --video" in _refusal(capsys, [*words, "--image", "a"])
    at = words.index("--frames")
    words = [*words[:at], *words[at + 2 :]]
    assert "The file is a video; give it as --video." in _refusal(
        capsys, [*words, "--image", video]
    )
    path = tmp_path / "picture.mp4"
    tiny.picture().save(path, "PNG")
    assert "open a still picture as a picture" in _refusal(capsys, [*words, "--video", str(path)])


def test_a_broken_video_is_refused_before_the_model_is_loaded(
    run: list[str], video: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(video).write_bytes(clips.film()[: len(clips.film()) // 2])
    err = _refusal(capsys, [*run, "--model", "no-such/model"])
    assert "damaged or cut off" in err
