"""What came of a comparison: same answer or not, word by word, first token, speed-up, losses."""

from __future__ import annotations

import json
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Final

from iwp import report, wording
from iwp.report import percent, seconds
from iwp.ui import text
from iwp.ui.timings import ratio

if TYPE_CHECKING:
    from iwp.results import Fidelity, Odds, RunResult
    from iwp.types import Answer

# Not by colour alone: strokes, a sign, and words for who cannot see either.
_MARKS: Final = {
    "left": ("del", "\N{MINUS SIGN}", text.ONLY_LEFT),
    "right": ("ins", "+", text.ONLY_RIGHT),
}
_EVEN: Final = (0.95, 1.05)  # ratios that no one can tell from 1
_PARTS: Final = ("encode_s", "prefill_s", "decode_s")


def render(result: RunResult, titles: tuple[str, str]) -> str:
    """The outcome as HTML, a plain warning first.

    Args:
        result: a whole comparison.
        titles: what the left and the right side are called.
    """
    answers = (result.baseline, result.pruned)
    parts = (
        _warning(result.warning),
        _verdict(result.fidelity.same_answer, *answers),
        _speed(*answers, titles),
        _first_token(result.first_token, titles),
        _losses(result.fidelity),
    )
    return f'<div class="outcome">{"".join(parts)}</div>'


def _warning(sentence: str | None) -> str:
    return f'<p class="note">{escape(sentence)}</p>' if sentence else ""


def _verdict(same: bool | None, left: Answer, right: Answer) -> str:
    """The badge and, where the answers differ, both of them as one text."""
    if same is None:
        return f'<p class="badge unknown">{text.ANSWERS[same]}</p>'
    badge = f'<p class="badge {"same" if same else "other"}">{text.ANSWERS[same]}</p>'
    if same:
        return badge
    pieces = "".join(
        _marked(piece.side, piece.text) for piece in wording.differences(left.answer, right.answer)
    )
    legend = "".join(
        f"<li><{tag}><span>{sign}</span></{tag}> {words}</li>"
        for tag, sign, words in _MARKS.values()
    )
    marks = f'<ul class="marks" aria-hidden="true">{legend}</ul>'
    return f'{badge}<p class="difference">{pieces}</p>{marks}'


def _marked(side: str, words: str) -> str:
    if side == "both":
        return escape(words)
    tag, sign, said = _MARKS[side]
    inside, spaces = words.rstrip(), words[len(words.rstrip()) :]
    return (
        f'<{tag}><span aria-hidden="true">{sign}</span><span class="unseen">{said}: </span>'
        f"{escape(inside)}</{tag}>{spaces or ' '}"
    )


def _speed(left: Answer, right: Answer, titles: tuple[str, str]) -> str:
    """How much faster the right side was, and where that comes from."""
    if any(answer.finish in ("stopped", "deadline") for answer in (left, right)):
        return ""
    one, other = left.timing, right.timing
    longest = max(one.total_s, other.total_s)
    if not longest or not other.total_s:
        return ""
    sides = zip(titles, (one, other), strict=True)
    bars = "".join(
        f'<div class="bar-row"><span>{escape(title)}</span><div class="stack">'
        + "".join(
            f'<i class="{part}" style="width:{100 * getattr(timing, part) / longest:.2f}%"></i>'
            for part in _PARTS
        )
        + f"</div><span>{seconds(timing.total_s)}</span></div>"
        for title, timing in sides
    )
    tokens = text.TOKEN_COUNTS.format(left.n_tokens, right.n_tokens)
    facts = (
        text.ENCODED_ONCE.format(seconds(one.encode_s)),
        _from_to(one.prefill_s, other.prefill_s),
        f"{_from_to(one.decode_s, other.decode_s)} ({tokens})",
    )
    legend = "".join(
        f'<li><i class="{part}"></i><b>{name}</b> {fact}</li>'
        for part, name, fact in zip(_PARTS, text.SPEED_PARTS, facts, strict=True)
    )
    return (
        f'<h3>{_faster(one.total_s, other.total_s)}</h3><div class="bars" aria-hidden="true">'
        f'{bars}</div><ul class="parts">{legend}</ul>'
    )


def _faster(left: float, right: float) -> str:
    times = left / right
    if _EVEN[0] <= times <= _EVEN[1]:
        words = text.AS_FAST
    elif times > 1:
        words = text.FASTER.format(ratio(left, right))
    else:
        words = text.SLOWER.format(ratio(right, left))
    return f"{words}: {text.FROM_TO.format(seconds(left), seconds(right))}"


def _from_to(left: float, right: float) -> str:
    return f"{text.FROM_TO.format(seconds(left), seconds(right))}, {ratio(left, right)}"


def _first_token(odds: tuple[Odds, ...], titles: tuple[str, str]) -> str:
    """The likeliest first tokens, a bar and a number for each side."""
    if not odds:
        return ""
    heads = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(_visible(one.token))}</code></th>'
        f"{_bar(one.baseline)}{_bar(one.pruned)}</tr>"
        for one in odds
    )
    return (
        f'<h3>{text.FIRST_TOKEN}</h3><table class="odds"><thead><tr><th scope="col">'
        f"{text.TOKEN}</th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _visible(token: str) -> str:
    """A token's text on one line, with its spaces and line ends to be seen."""
    return json.dumps(token, ensure_ascii=False)


def _bar(share: float) -> str:
    return (
        f'<td><span class="odds-bar"><i style="width:{100 * share:.1f}%"></i></span>'
        f"{percent(share)}</td>"
    )


def _losses(fidelity: Fidelity) -> str:
    """The figures of `report.fidelity`, the badge's apart, in a row."""
    items = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>"
        for label, value in report.fidelity(replace(fidelity, same_answer=None))
    )
    if not items:
        return ""
    return f'<dl class="fidelity">{items}</dl><p>{text.FIDELITY_NOTE}</p>'
