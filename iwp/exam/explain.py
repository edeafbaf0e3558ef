"""Where another method is ahead of IWP: which questions, and whether their evidence was kept."""

from __future__ import annotations

import numpy as np

from iwp.bench import output
from iwp.exam.entries import FULL, ORACLE
from iwp.exam.results import REFERENCE, Answers, Row
from iwp.exam.statistics import Resampled, interval, mean_known

_WORST = 3  # kinds told for every budget


def rivals(answers: Answers, method: str | None = None) -> list[int]:
    """The entries to hold against IWP, one a budget: the best one, or this method's."""
    best: dict[float, int] = {}
    for number, entry in enumerate(answers.entries):
        if entry.method in (FULL, REFERENCE) or (method or entry.method) != entry.method:
            continue
        if method is None and entry.method == ORACLE:  # it knows the answer
            continue
        if answers.column(REFERENCE, entry.budget) is None:
            continue
        known = best.get(entry.budget)
        if known is None or answers.right[:, number].sum() > answers.right[:, known].sum():
            best[entry.budget] = number
    return list(best.values())


def explained(answers: Answers, method: str | None = None) -> str:
    """A table: for every budget the kinds of question in which the rival gains most on IWP.

    "only rival" and "only iwp" are the questions that one of both answers; evidence is what they
    have kept of it, and "evidence lost" the share of the questions won by the rival for which IWP
    has kept less evidence than the rival. A dash: the kind has no evidence.
    """
    draws = answers.resampled()
    table: list[Row] = []
    for number in rivals(answers, method):
        mine = answers.column(REFERENCE, answers.entries[number].budget)
        if mine is not None:
            found = [_row(answers, draws, number, mine, kind) for kind in np.unique(answers.kinds)]
            table += sorted(found, key=lambda row: -float(row["gain"].split()[0]))[:_WORST]
    return output.markdown(table) if table else "There is no other method to hold against IWP."


def _row(answers: Answers, draws: Resampled, rival: int, mine: int, kind: str) -> Row:
    which = answers.kinds == kind
    his, ours = answers.right[which, rival] > 0, answers.right[which, mine] > 0
    gap = answers.right[:, [rival]] - answers.right[:, [mine]]
    low, high = interval(draws.means(gap, which)[:, 0])
    kept_his, kept_ours = (answers.evidence[which, column] for column in (rival, mine))
    won = his & ~ours
    less = np.where(np.isnan(kept_ours), np.nan, kept_ours < kept_his)  # NaN: has no evidence
    entry = answers.entries[rival]
    return {
        "budget": f"{entry.budget:.1%}",
        "rival": entry.method,
        "kind": kind,
        "rival's": float(his.mean()),
        "iwp's": float(ours.mean()),
        "gain": f"{100 * gap[which].mean():.1f} ({100 * low:.1f} to {100 * high:.1f})",
        "only rival": str(int(won.sum())),
        "only iwp": str(int((ours & ~his).sum())),
        "evidence, rival": mean_known(kept_his),
        "evidence, iwp": mean_known(kept_ours),
        "evidence lost": mean_known(less[won]),
    }
