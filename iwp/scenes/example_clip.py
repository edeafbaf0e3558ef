"""The clip among the page's examples: `python -m iwp.scenes.example_clip assets/examples`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from iwp.scenes.clip import Clip, make_clip
from iwp.video import mp4

NAME = "clip-1"
_SEED = (20261126, 362)
_FRAMES = 32


def drawn() -> Clip:
    """The clip: a red star goes left."""
    return make_clip(np.random.default_rng(_SEED), _FRAMES)


def save(folder: Path) -> None:
    """Write `clip-1.mp4`, and `clip-1.jpg` for the list of examples, into a folder."""
    clip = drawn()
    pictures = [Image.fromarray(frame) for frame in clip.frames]
    mp4.write(str(folder / f"{NAME}.mp4"), pictures, clip.times)
    pictures[_FRAMES // 2].save(folder / f"{NAME}.jpg", quality=90)


if __name__ == "__main__":
    save(Path(sys.argv[1]))
