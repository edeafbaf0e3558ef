"""The rival methods, slowly: loops over plain float64 numbers, written from the papers alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Table = np.ndarray


def cosine(a: Table, b: Table) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def cosines(x: Table) -> Table:
    return np.array([[cosine(a, b) for b in x] for a in x])


def best(values: Sequence[float], of: Sequence[int], near: float = 0.0) -> int:
    """The number of the highest value, the lowest where several are within `near` of it."""
    most = max(values[i] for i in of)
    return next(i for i in of if values[i] >= most - near)


def attention_of_last_row(q: Table, k: Table) -> Table:
    """q (H, S, d), k (Hkv, S, d) after rotary -> (S,) mean attention over heads of the last row."""
    weights = []
    for head in range(q.shape[0]):
        group = head // (q.shape[0] // k.shape[0])
        logits = np.array([q[head, -1] @ key / np.sqrt(q.shape[-1]) for key in k[group]])
        raised = np.exp(logits - logits.max())
        weights.append(raised / raised.sum())
    return np.mean(weights, axis=0)


def max_min(x: Table, keep: int) -> list[int]:
    """DivPrune: the most isolated token, then always the one farthest from the nearest chosen."""
    distance, n = 1.0 - cosines(x), len(x)
    nearest = [min((distance[i, j] for j in range(n) if j != i), default=0.0) for i in range(n)]
    order = [best(nearest, range(n))]
    while len(order) < keep:
        left = [j for j in range(n) if j not in order]
        order.append(best([min(distance[i, j] for i in order) for j in range(n)], left))
    return order


def relevance(x: Table, text: Table, sign: float = 1.0) -> Table:
    r = sign * np.array([np.mean([cosine(a, b) for b in text]) for a in x])
    return (r - r.min() + 1e-6) / (r.max() - r.min()) if r.max() > r.min() else np.ones(len(x))


def greedy_determinant(similarity: Table, quality: Table, keep: int) -> list[int]:
    """CDPruner: every step tries each token and takes the largest determinant of q S q."""
    kernel = quality[:, None] * similarity * quality[None]
    order: list[int] = []
    while len(order) < keep:
        left = [j for j in range(len(kernel)) if j not in order]
        volumes = [
            float(np.linalg.slogdet(kernel[np.ix_(s, s)])[1])
            for s in ([*order, j] for j in range(len(kernel)) if j in left)
        ]
        order.append(left[best(volumes, range(len(left)), near=1e-12)])
    return order


def dart(
    image: Table,
    text: Table,
    image_norms: Table,
    text_norms: Table,
    pivots: tuple[int, int],
    b: int,
) -> list[int]:
    """Pivots by norm, image before text; each takes its share of the least similar tokens left."""

    def largest(norms: Table, count: int) -> list[int]:
        return sorted(range(len(norms)), key=lambda i: (-norms[i], i))[:count]

    of_image, of_text = largest(image_norms, pivots[0]), largest(text_norms, pivots[1])
    chosen = list(of_image)
    rows = [image[i] for i in of_image] + [text[i] for i in of_text]
    for pivot in rows:
        left = [i for i in range(len(image)) if i not in chosen]
        left.sort(key=lambda i: (cosine(image[i], pivot), i))
        chosen += left[: b // len(rows)]
    return chosen
