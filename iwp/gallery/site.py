"""The gallery as a folder of static files: the page's own widget around recorded results."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from iwp.budget import USUAL_BUDGET
from iwp.errors import InputError
from iwp.gallery import palette
from iwp.recordings import digest
from iwp.ui import header, text, token_map, upload
from iwp.ui.examples import EXAMPLES
from iwp.ui.page import Page
from iwp.ui.progress import table
from iwp.ui.sides import Sides
from iwp.ui.theme import STYLES
from iwp.ui.visitors import Asked, Visitor

if TYPE_CHECKING:
    from iwp.recordings import Recording, Recordings
    from iwp.results import RunResult
    from iwp.ui.examples import Examples

_FILES: Final = Path(__file__).with_name("files")
_THUMBNAIL: Final = 104  # pixels, twice what is shown
# What gradio hands the script are arguments here.
_OVERLAY: Final = "function overlayWidget(element, props, trigger, watch) {{\n{}\n}}\n"
# Names of an example's files, by their folder.
_PARTS: Final = {
    "data": re.compile(r"\d+\.json"),
    "pictures": re.compile(r"\d+-(\d+|small)\.[a-z]+"),
}
_LEAD: Final = (
    "The same vision-language model answered each question with every visual token, and again with "
    "only the tokens that IWP keeps. Move the budget to see which patches stay."
)


def write(examples: Examples, folder: Path) -> list[Path]:
    """Write the gallery of the recorded examples; files of the same names are replaced.

    Of a gallery that was there, examples that are gone are removed. The folder needs no server but
    one for files, and asks no other host.

    Args:
        examples: with their recordings.
        folder: made where it is not there.

    Returns:
        The files that were written.

    Raises:
        InputError: nothing is recorded, an example's file cannot be read, or the folder cannot be
            written.
    """
    recordings = examples.recordings
    shown = [] if recordings is None else _recorded(examples, recordings)
    if recordings is None or not shown:
        raise InputError("No example is recorded as it is now: add --record.")
    try:
        former = _former(folder)
        for part in _PARTS:
            (folder / part).mkdir(parents=True, exist_ok=True)
        written = _frame(examples, recordings, shown, folder)
        for number, file, one in shown:
            written += _example(number, file, one, recordings, folder)
        for stale in former - {*written}:
            stale.unlink()
    except OSError as error:
        raise InputError(f"The folder {str(folder)!r} cannot be written: {error}.") from error
    return written


def first_view(written: list[Path], folder: Path) -> int:
    """Bytes that a browser loads before anything is clicked: the frame and the first example."""
    frame = [file for file in written if file.parent == folder and file.suffix != ".md"]
    small = [file for file in written if file.name.endswith("-small.jpg")]
    first = next(file for file in written if file.parent.name == "data")  # the page opens it
    pictures = {folder / url for url in _urls(json.loads(first.read_text("utf-8"))["map"])}
    own = [first, *pictures]
    return sum(file.stat().st_size for file in {*frame, *small, *own})


def _former(folder: Path) -> set[Path]:
    """What an earlier run has written of its examples, where the folder is a gallery."""
    script = folder / "overlay.js"
    if not script.is_file() or not script.read_bytes().startswith(_OVERLAY[:30].encode()):
        return set()
    return {
        file
        for part, name in _PARTS.items()
        if (folder / part).is_dir()
        for file in (folder / part).iterdir()
        if name.fullmatch(file.name)
    }


def _recorded(examples: Examples, recordings: Recordings) -> list[tuple[int, Path, Recording]]:
    """(number, file, recording) of each example that is as it was recorded."""
    found = (
        (file, recordings.of(digest.of_file(file), question)) for file, question in examples.asked
    )
    return [(n, file, one) for n, (file, one) in enumerate(found, 1) if one is not None]


# --- the frame ---------------------------------------------------------------------------


def _frame(
    examples: Examples,
    recordings: Recordings,
    shown: list[tuple[int, Path, Recording]],
    folder: Path,
) -> list[Path]:
    """Everything but the examples themselves."""
    left, right = _sides(recordings, USUAL_BUDGET).titles
    named = {
        "Model": recordings.model,
        "Device": recordings.device,
        "Attention": recordings.attention,
        "Precision": recordings.made.numbers,
    }
    recorded = text.RECORDED.format(recordings.made)
    page = Template((_FILES / "gallery.html").read_text("utf-8")).substitute(
        title=escape(text.TITLE),
        header=header.render(named, _LEAD),
        recorded=escape(recorded),
        examples="\n".join(_entry(number, one) for number, _, one in shown),
        overlay=token_map.HTML,
        left=escape(left),
        right=escape(right),
    )
    card = Template((_FILES / "card.md").read_text("utf-8")).substitute(
        license=_license(examples, recordings),
        model=recordings.model,
        count=len(shown),
        recorded=recordings.made,
    )
    contents = {
        "index.html": page,
        "style.css": _style(),
        "overlay.js": _OVERLAY.format(token_map.JS),
        "gallery.js": (_FILES / "gallery.js").read_text("utf-8"),
        "README.md": card,
    }
    for name, content in contents.items():
        (folder / name).write_text(content, "utf-8")
    thumbnails = [
        _thumbnail(examples.rows[number - 1][0], folder / _thumbnail_name(number))
        for number, _, _ in shown
    ]
    return [*(folder / name for name in contents), *thumbnails]


def _license(examples: Examples, recordings: Recordings) -> str:
    """The card's line; nobody's but IWP's own pictures and model have a licence that is known."""
    own = bool(recordings.digest) and examples.folder.resolve() == EXAMPLES.resolve()
    return "license: apache-2.0\n" if own else ""


def _style() -> str:
    """The page's style sheets and the gallery's own, after the variables that they use."""
    # gradio scopes a widget's sheet in the same way
    sheets = [sheet.read_text("utf-8") for sheet in STYLES]
    sheets += [f"#token-map {{\n{token_map.CSS}}}\n", (_FILES / "gallery.css").read_text("utf-8")]
    return "\n".join((palette.variables("".join(sheets)), *sheets))


def _entry(number: int, one: Recording) -> str:
    return (
        f'<li><button type="button" data-number="{number}" aria-pressed="false">'
        f'<img src="{_thumbnail_name(number)}" alt="" width="52" height="52">'
        f"<span>{escape(one.question)}</span></button></li>"
    )


def _thumbnail_name(number: int) -> str:
    return f"pictures/{number}-small.jpg"


def _thumbnail(source: Path, file: Path) -> Path:
    with Image.open(source) as picture:
        small = picture.convert("RGB")
        small.thumbnail((2 * _THUMBNAIL, 2 * _THUMBNAIL))
        small.save(file, quality=80)
    return file


# --- the examples ------------------------------------------------------------------------


def _example(
    number: int, file: Path, one: Recording, recordings: Recordings, folder: Path
) -> list[Path]:
    """One example's map, answers and pictures, through the code that fills the page."""
    media = one.media(file)
    with tempfile.TemporaryDirectory() as cache:
        asked = Asked(
            run_id=str(number),
            media=media,
            question=one.question,
            budget=USUAL_BUDGET,
            picture=upload.served_copy(media.frames[0], cache),
            sides=_sides(recordings, USUAL_BUDGET),
            frames=upload.served_frames(media, cache),
        )
        map_data = token_map.ranked(asked, one)
        pictures: dict[str, Path] = {}
        content = {
            "number": number,
            "question": one.question,
            "map": _served(map_data.model_dump(), number, pictures),
            "results": [_result(asked, map_data, result) for result in one.results],
        }
        for url, source in pictures.items():
            shutil.copyfile(source, folder / url)
    data = folder / "data" / f"{number}.json"
    data.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), "utf-8")
    return [data, *(folder / url for url in pictures)]


def _result(
    asked: Asked, map_data: token_map.TokenMapData, result: RunResult
) -> dict[str, str | float]:
    visitor = Visitor(asked=asked, baseline=result.baseline, page=Page(token_map=map_data))
    return {
        "budget": result.budget,
        "baseline": result.baseline.answer,
        "pruned": result.pruned.answer,
        "measured": table(visitor, asked.sides, result.pruned, result),
    }


def _sides(recordings: Recordings, budget: float) -> Sides:
    return Sides(None, recordings.method(budget), layers=recordings.layers)


def _served(value: Any, number: int, pictures: dict[str, Path]) -> Any:
    """The value with the addresses of its files in the gallery, which `pictures` collects."""
    if isinstance(value, list):
        return [_served(item, number, pictures) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("meta") == {"_type": "gradio.FileData"}:
        source = Path(value["path"])
        known = {file: url for url, file in pictures.items()}
        url = known.get(source) or f"pictures/{number}-{len(pictures) + 1}{source.suffix}"
        pictures[url] = source
        return {"url": url}
    return {name: _served(item, number, pictures) for name, item in value.items()}


def _urls(value: Any) -> list[str]:
    """Every address in what `_served` has made."""
    if isinstance(value, list):
        return [url for item in value for url in _urls(item)]
    if not isinstance(value, dict):
        return []
    return [value["url"]] if set(value) == {"url"} else _urls(list(value.values()))
