"""The methods that merge or look at words, slowly: loops over plain float64 numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.rivals_reference import Table, best, cosine, cosines

Groups = dict[int, list[int]]
"""The number of every token that is kept, and of all that went into it."""


def softmax(logits: Table) -> Table:
    raised = np.exp(logits - logits.max())
    return raised / raised.sum()


def highest(values: Sequence[float], count: int) -> list[int]:
    return sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]


# --- ToMe --------------------------------------------------------------------------------


def tome(x: Table, keep: int) -> Groups:
    tokens = [(i, np.array(row), [i]) for i, row in enumerate(x)]
    while len(tokens) > keep:
        removed = min(len(tokens) - keep, len(tokens) // 2)
        even, odd = tokens[::2], tokens[1::2]
        similar = [[cosine(a, b) for _, b, _ in odd] for _, a, _ in even]
        match = [best(row, range(len(odd)), 1e-9) for row in similar]
        sources = highest([max(row) for row in similar], removed)
        merged = []
        for place, (number, row, members) in enumerate(odd):
            group = [(row, members)] + [even[a][1:] for a in sources if match[a] == place]
            whole = [member for _, members in group for member in members]
            merged.append((number, sum(len(m) * r for r, m in group) / len(whole), whole))
        stays = [token for place, token in enumerate(even) if place not in sources]
        tokens = sorted(stays + merged, key=lambda token: token[0])
    return {number: sorted(members) for number, _, members in tokens}


# --- PACT --------------------------------------------------------------------------------


def importance(q: Table, k: Table, rows: Table, visual: list[int]) -> Table:
    """q (H, S, d), k (Hkv, S, d) before rotary, rows (S, D): EUTI's scores of the visual rows."""
    until = max(visual) + 1
    found = np.zeros(len(visual))
    for head, queries in enumerate(q):
        keys = k[head // (len(q) // len(k)), :until]
        mean = sum(queries[:until]) / until
        weights = softmax(np.array([mean @ key for key in keys]) / np.sqrt(q.shape[-1]))
        found += weights[visual] / len(q)
    return found * np.array([np.sqrt((rows[j] ** 2).sum()) for j in visual])


def densities(keys: Table) -> Table:
    apart = np.maximum(0.0, 1.0 - cosines(keys))
    np.fill_diagonal(apart, 0.0)
    return np.array([sum(np.exp(-((a / 2) ** 2)) for a in row) for row in apart])


def dbdpc(keys: Table, distance: float) -> tuple[list[int], list[int]]:
    """Centres in the order of the visit, and the centre of every token."""
    apart = np.maximum(0.0, 1.0 - cosines(keys))
    np.fill_diagonal(apart, 0.0)
    centres: list[int] = []
    for i in highest(densities(keys), len(keys)):
        if all(apart[i, c] > distance for c in centres):
            centres.append(i)

    def nearest(i: int) -> int:
        return best([-apart[i, c] for c in centres], range(len(centres)), 1e-9)

    labels = [c if c in centres else centres[nearest(c)] for c in range(len(keys))]
    return centres, labels


def pact(keys: Table, scores: Table, count: int, distance: float) -> Groups:
    """The best `count` tokens fall into clusters; of the others those within 1.5 d join one."""
    some = sorted(highest(scores, count))
    centres, labels = dbdpc(keys[some], distance)
    groups: Groups = {some[c]: [] for c in centres}
    for j in range(len(keys)):
        if j in some:
            groups[some[labels[some.index(j)]]].append(j)
        else:
            apart = {c: 1.0 - cosine(keys[j], keys[c]) for c in groups}
            near = min(apart, key=lambda c: apart[c])
            if apart[near] <= 1.5 * distance:
                groups[near].append(j)
    return groups


# --- SparseVLM ---------------------------------------------------------------------------


def raters(visual: Table, text: Table) -> list[int]:
    pointed = np.mean([softmax(np.array([v @ t for t in text])) for v in visual], axis=0)
    above = [i for i in range(len(text)) if pointed[i] > pointed.mean() + 1e-12]
    return above or list(range(len(text)))


def attention(q: Table, k: Table, rows: list[int]) -> Table:
    """q (H, S, d), k (Hkv, S, d) after rotary -> (H, r, S) causal attention of some rows."""
    found = np.zeros((len(q), len(rows), q.shape[1]))
    for head in range(len(q)):
        keys = k[head // (len(q) // len(k))]
        for number, row in enumerate(rows):
            logits = np.array([q[head, row] @ key for key in keys[: row + 1]])
            found[head, number, : row + 1] = softmax(logits / np.sqrt(q.shape[-1]))
    return found


def distance_weight(distance: float, frequencies: Table) -> float:
    """What rotary positions make of two vectors of ones, over the root of their length."""
    d = 2 * len(frequencies)
    return 2.0 / np.sqrt(d) * sum(np.cos(distance * f) for f in frequencies)


def dpc_knn(x: Table, count: int) -> dict[int, int]:
    """The centre of every point."""
    n = len(x)
    apart = np.array([[np.sqrt(((a - b) ** 2).sum() / len(a)) for b in x] for a in x])
    density = [-np.mean(np.sort(row)[:count] ** 2) for row in apart]
    reach = []
    for i in range(n):
        denser = [j for j in range(n) if (density[j], -j) > (density[i], -i)]
        reach.append(min((apart[i, j] for j in denser), default=apart.max()))
    # exp(density) underflows: logarithms have the same order.
    score = [np.log(r) + d if r > 0 else -np.inf for r, d in zip(reach, density, strict=True)]
    centres = sorted(highest(score, count))
    return {i: i if i in centres else min(centres, key=lambda c: apart[i, c]) for i in range(n)}


def recycled(rows: Table, scores: Table, leaves: int) -> Groups:
    """The best tokens, and clusters among the best 30 % of the others, `leaves` in all."""
    n, order = len(rows), highest(scores, len(rows))
    chosen = leaves
    while True:
        dropped = order[chosen:]
        pool = sorted(dropped[: int(0.3 * len(dropped)) + 1])
        count = int(len(pool) / 10) + 1 if dropped else 0
        if chosen + count <= leaves or chosen == 1:
            break
        chosen -= 1
    count = min(count, leaves - chosen)
    groups: Groups = {i: [i] for i in order[:chosen]}
    if count:
        for i, centre in dpc_knn(rows[pool], count).items():
            groups.setdefault(pool[centre], []).append(pool[i])
    assert len(groups) == leaves <= n
    return groups
