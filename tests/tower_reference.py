"""The methods that read the vision tower, slowly: loops over plain float64 numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.rivals_reference import Table, best, cosine, cosines


def by_saliency(saliency: Table, of: Sequence[int]) -> list[int]:
    return sorted(of, key=lambda i: (-saliency[i], i))


def scope_gains(
    x: Table, saliency: Table, chosen: Sequence[int], alpha: float = 1.0
) -> list[float]:
    """For each token that is not chosen, saliency^alpha times what it adds to the coverage."""
    similarity, n = np.maximum(cosines(x).round(12), 0.0), len(x)
    covered = [max((similarity[i, j] for j in chosen), default=0.0) for i in range(n)]
    gains = [sum(max(0.0, similarity[i, j] - covered[i]) for i in range(n)) for j in range(n)]
    return [-1.0 if j in chosen else saliency[j] ** alpha * gains[j] for j in range(n)]


def scope(x: Table, saliency: Table, keep: int, alpha: float = 1.0) -> list[int]:
    order: list[int] = []
    while len(order) < keep:
        order.append(best(scope_gains(x, saliency, order, alpha), range(len(x))))
    return order


def vispruner(x: Table, saliency: Table, keep: int, important: float = 0.5) -> list[int]:
    """A share by saliency; then even places of the list against odd ones, 8 removed at a time."""
    order = by_saliency(saliency, range(len(x)))
    first = int(keep * important)
    kept, left = order[:first], order[first:]
    while keep > first and len(left) > keep - first:
        evens, odds = left[0::2], left[1::2]
        nearest = {a: max(cosine(x[a], x[b]) for b in odds) for a in evens}
        evens.sort(key=lambda a: -round(nearest[a], 12))  # stable: ties go to the earlier place
        left = evens[min(8, len(left) - (keep - first)) :] + odds
    return sorted(kept + (left if keep > first else []))


def visionzip(
    h: Table,
    keys: Table,
    saliency: Table,
    dominant: int,
    contextual: int,
    ends: Sequence[int] = (),
    *,
    mean: bool = False,
) -> tuple[dict[int, Table], list[int]]:
    """The row of every kept token, and for every token the one that it goes into, or -1."""
    others = [i for i in range(len(h)) if i not in ends]
    kept = (by_saliency(saliency, others) + list(ends))[:dominant]
    rest = [i for i in others if i not in kept]
    targets = rest[:: max(1, len(rest) // contextual)][:contextual] if contextual else []
    joined: dict[int, list[int]] = {t: [] for t in targets}
    into = [i if i in kept or i in targets else -1 for i in range(len(h))]
    for o in rest if targets else ():
        if o not in targets:
            alike = [round(cosine(keys[o], keys[t]), 12) for t in targets]
            into[o] = targets[best(alike, range(contextual))]
            joined[into[o]].append(o)
    rows = {i: h[i] for i in kept}
    for t, members in joined.items():
        if mean:
            rows[t] = h[[t, *members]].mean(axis=0)
        else:
            rows[t] = h[t] + (h[members].mean(axis=0) if members else 0.0)
    return dict(sorted(rows.items())), into
