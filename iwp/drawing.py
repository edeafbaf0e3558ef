"""The overlay of a result as a file: a picture, of a video also an MP4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from iwp import overlay, overlay_video
from iwp.errors import IWPError
from iwp.video import mp4

if TYPE_CHECKING:
    from PIL.Image import Image

    from iwp.overlay import Mode
    from iwp.results import RunResult
    from iwp.types import Media


def save(media: Media, result: RunResult, mode: Mode, path: str) -> None:
    """Write what was kept, painted on what was looked at.

    Of two methods: left, right and the difference, beside each other. A video becomes an MP4 where
    the file's name ends like that, and else one picture with all frames.

    Raises:
        IWPError: it cannot be written there, or nothing writes files with such a name.
    """
    pictures = painted(media, result, mode)
    try:
        if media.kind == "image":
            next(pictures).save(path)
        elif Path(path).suffix.lower() == ".mp4":
            mp4.write(path, pictures, media.times)
        else:
            overlay_video.sheet(list(pictures)).save(path)
    except (OSError, ValueError) as error:
        raise IWPError(f"The overlay cannot be saved as {path}: {error}.") from None


def painted(media: Media, result: RunResult, mode: Mode) -> Iterator[Image]:
    """One picture for a picture, and one for every frame of a video."""
    layout, rival = result.layout, result.rival
    sides = [
        (overlay.kept_first(side.ranks, side.kept), len(side.kept))
        for side in (rival, result)
        if side is not None
    ]
    rows: list[Iterator[Image]]
    if media.kind == "video":
        rows = [overlay_video.frames(media, layout, *side, mode) for side in sides]
        if rival is not None:
            rows.append(overlay_video.differences(media, layout, rival.kept, result.kept))
    else:
        rows = [iter([overlay.render(media, layout, *side, mode)]) for side in sides]
        if rival is not None:
            rows.append(iter([overlay.difference(media, layout, rival.kept, result.kept)]))
    return map(overlay.side_by_side, zip(*rows, strict=True))
