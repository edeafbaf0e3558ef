"""Questions of our own exam as a task folder for lmms-eval: `python -m iwp eval export`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from iwp.errors import InputError
from iwp.parser import Parser
from iwp.scenes.exam import KINDS, LIMIT_HELP, items
from iwp.scenes.examinee import MAX_NEW_TOKENS

TASK = "iwp_scenes"
"""The task's name for `--tasks`."""


def export(folder: Path, limit: int, seed: int) -> int:
    """Write pictures, questions and the task file, which lmms-eval reads without a network.

    The questions are those of `python -m iwp eval scenes` with the same limit and seed. The task
    file names the folder where it was written: export again instead of moving it.

    Args:
        folder: where to; made if it is not there.
        limit: questions in all, rounded down to the same number of every kind, at least one.
        seed: of the exam.

    Returns:
        How many questions there are.

    Raises:
        InputError: the folder holds something already, or cannot be written.
    """
    pictures = folder / "questions"
    rows: list[dict[str, str]] = []
    try:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"The folder {folder} is not empty; name a new one.")
        pictures.mkdir(parents=True, exist_ok=True)
        for item in items(seed, max(1, limit // len(KINDS))):
            (picture,) = item.media.frames
            for asked in item.questions:
                name = f"{len(rows):05d}.png"  # a data set of pictures has one file a row
                picture.save(pictures / name)
                rows.append(
                    {
                        "file_name": name,
                        "question": asked.text,
                        "answer": asked.answer,
                        "kind": asked.kind,
                    }
                )
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (pictures / "metadata.jsonl").write_text(lines, encoding="utf-8")
        (folder / f"{TASK}.yaml").write_text(_task(pictures.resolve()), encoding="utf-8")
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be written: {error}.") from None
    return len(rows)


def _task(pictures: Path) -> str:
    """The task file; JSON is YAML too, whatever the folder is called."""
    task = {
        "task": TASK,
        "dataset_path": "imagefolder",
        "dataset_kwargs": {"data_dir": str(pictures)},
        "test_split": "train",  # what the data set calls its only part
        "output_type": "generate_until",
        "doc_to_visual": "image",
        "doc_to_text": "{{question}}",
        "doc_to_target": "answer",
        "generation_kwargs": {
            "max_new_tokens": MAX_NEW_TOKENS,
            "temperature": 0,
            "do_sample": False,
        },
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": [{"version": 1.0}],
    }
    return json.dumps(task, indent=2) + "\n"


def main(argv: Sequence[str]) -> int:
    """Export, and say how to go on."""
    parser = Parser(prog="python -m iwp eval export", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=500, help=LIMIT_HELP)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    count = export(args.folder, args.limit, args.seed)
    print(f"{count} questions; lmms-eval --include_path {args.folder} --tasks {TASK}")
    return 0
