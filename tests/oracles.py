"""Slow, obvious versions of what the library does fast: the truth that the tests compare with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import numpy as np
import torch
from torch import Tensor

# --- the method, one token at a time, in float64; exponentials in decimals, which do not overflow


def exp(x: float) -> Decimal:
    return Decimal(float(x)).exp()


def exact_magnitude(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    text: list[int],
    visual: list[int],
    normalizer: str = "eta",
    magnitude: str = "kernel_value",
) -> list[Decimal]:
    """Eq. 10 and its rivals word for word: (H,S,d), (Hkv,S,d), (Hkv,S,d) -> n in [0, 1]."""
    q, k, v = (np.asarray(a, dtype=np.float64) for a in (q, k, v))
    heads, size, d = q.shape
    raw = [Decimal(0)] * len(visual)
    for h in range(heads):
        g = h // (heads // k.shape[0])
        query = np.mean([q[h, t] for t in text], axis=0)
        if magnitude in ("kernel_value", "kernel"):
            keys = [exp(query @ key / math.sqrt(d)) for key in k[g]]
        elif magnitude in ("update_norm", "key_norm"):  # ||phi(k)|| is the root of kappa(k, k)
            keys = [exp(key @ key / math.sqrt(d)).sqrt() for key in k[g]]
        else:
            keys = [Decimal(1)] * size
        among = {"eta": range(size), "visual": visual, "none": []}[normalizer]
        total = sum((keys[j] for j in among), Decimal(0)) or Decimal(1)
        for number, i in enumerate(visual):
            norm = Decimal(1)
            if magnitude in ("kernel_value", "update_norm", "value_norm"):
                norm = Decimal(float(np.linalg.norm(v[g, i])))
            raw[number] += keys[i] * norm / total / heads
    if max(raw) == min(raw):
        return [Decimal(1)] * len(visual)
    return [(r - min(raw)) / (max(raw) - min(raw)) for r in raw]


def magnitude(*args: Any) -> np.ndarray:
    """`exact_magnitude` as float64."""
    return np.array([float(x) for x in exact_magnitude(*args)])


def widths(k: np.ndarray, bandwidth: str = "sqrt_d") -> np.ndarray:
    """(Hkv,) what squared key distances are divided by."""
    kv_heads, n, d = k.shape
    if bandwidth == "sqrt_d" or n < 2:
        return np.full(kv_heads, 2.0 * math.sqrt(d))
    size = min(n, 256)
    sample = [i * n // size for i in range(size)]
    result = []
    for head in np.asarray(k, dtype=np.float64):
        distances = sorted(
            float(((head[a] - head[b]) ** 2).sum())
            for x, a in enumerate(sample)
            for b in sample[x + 1 :]
        )
        result.append(max(distances[(len(distances) - 1) // 2], 1e-6 * (head**2).sum(-1).mean()))
    return np.maximum(result, 1e-12)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms > 0 else 0.0


def similarity(
    k: np.ndarray,
    v: np.ndarray,
    i: int,
    j: int,
    width: np.ndarray,
    duplication: str = "dual",
    hidden: np.ndarray | None = None,
) -> float:
    """Eq. 12, squared, for one pair of tokens; and the similarities of Table 3."""
    if duplication == "hidden":
        return cosine(hidden[i], hidden[j]) ** 2
    total = 0.0
    for g in range(k.shape[0]):
        one = 1.0
        if duplication in ("dual", "kernel_key"):
            one *= math.exp(-((k[g, i] - k[g, j]) ** 2).sum() / width[g])
        if duplication in ("dual", "value"):
            one *= cosine(v[g, i], v[g, j])
        if duplication == "key":
            one *= cosine(k[g, i], k[g, j])
        total += one**2
    return total / k.shape[0]


def chunked_mmr(
    scores: Sequence[Any],
    k: np.ndarray,
    v: np.ndarray,
    keep: int,
    chunk: int = 2,
    growth: int = 2,
    penalty: float = 5.0,
    floor: float = 0.01,
    bandwidth: str = "sqrt_d",
    duplication: str = "dual",
    hidden: np.ndarray | None = None,
    first: Sequence[int] = (),
) -> list[int]:
    """Algorithm 1 with sets and loops; the tokens `first` come before all others."""
    k, v = np.asarray(k, dtype=np.float64), np.asarray(v, dtype=np.float64)
    left = [s if isinstance(s, Decimal) else Decimal(float(s)) for s in scores]
    width = widths(k, bandwidth)
    chosen = sorted(first, key=lambda i: (-left[i], i))[:keep]
    while len(chosen) < keep:
        size = min(chunk, keep - len(chosen))
        open_ = [i for i in range(len(left)) if i not in chosen]
        new = sorted(open_, key=lambda i: (-left[i], i))[:size]
        chosen += new
        for i in open_:
            if i not in new and duplication != "none":
                most = max(similarity(k, v, i, j, width, duplication, hidden) for j in new)
                left[i] *= Decimal(max(floor, 1.0 - penalty * most))
        chunk *= growth
    return chosen


# --- what is lost, in double loops -----------------------------------------------------------


def dual_weight_error(k: np.ndarray, v: np.ndarray, kept: Sequence[int]) -> float:
    """Lemma 3 with the softmax's kernel: (Hkv,n,d), (Hkv,n,d), mean over heads."""
    k, v = np.asarray(k, dtype=np.float64), np.asarray(v, dtype=np.float64)
    n = k.shape[1]

    def norm(g: int, tokens: Sequence[int]) -> Decimal:
        pairs = ((i, j) for i in tokens for j in tokens)
        inner = (
            Decimal(float(v[g, i] @ v[g, j])) * exp(k[g, i] @ k[g, j] / math.sqrt(k.shape[-1]))
            for i, j in pairs
        )
        return max(sum(inner, Decimal(0)), Decimal(0)).sqrt()

    dropped = [i for i in range(n) if i not in kept]
    heads = range(k.shape[0])
    return sum(float(norm(g, dropped) / norm(g, range(n))) for g in heads) / len(heads)


def attention_output_error(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    rows: Sequence[int],
    visual: Sequence[int],
    kept: Sequence[int],
) -> float:
    """Eq. 4 for every text query, with and without the dropped visual tokens."""
    q, k, v = (np.asarray(a, dtype=np.float64) for a in (q, k, v))
    heads, _, d = q.shape
    dropped = {visual[i] for i in range(len(visual)) if i not in kept}
    errors = []
    for t, row in enumerate(rows):
        outputs = []
        for seen in (range(row + 1), [j for j in range(row + 1) if j not in dropped]):
            output = []
            for h in range(heads):
                g = h // (heads // k.shape[0])
                kappa = [exp(q[h, t] @ k[g, j] / math.sqrt(d)) for j in seen]
                total = sum(kappa)
                weights = [float(x / total) for x in kappa]
                output.append(sum(w * v[g, j] for w, j in zip(weights, seen, strict=True)))
            outputs.append(np.concatenate(output))
        whole, short = outputs
        errors.append(np.linalg.norm(short - whole) / np.linalg.norm(whole))
    return float(np.mean(errors))


# --- the cut: the full sequence, with the dropped keys hidden --------------------------------


@torch.no_grad()
def hidden_logits(
    model: Any, inputs: dict[str, Tensor], tokens: Tensor, dropped: Tensor, layer: int
) -> Tensor:
    """(1 + len(tokens), V) logits of the prompt's last row and of every token after it.

    The sequence stays whole; from `layer` on nobody may look at the `dropped` prompt rows.
    """
    ids = torch.cat((inputs["input_ids"], tokens[None]), dim=1)
    size = ids.shape[1]
    seen = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
    seen = torch.cat((seen, torch.ones_like(tokens[None])), dim=1)[0].bool()
    allowed = torch.ones(size, size).tril().bool() & seen[None]
    early = _additive(allowed)
    allowed[:, dropped] = False
    late = _additive(allowed)

    def hide(number: int) -> Any:
        def hook(_: Any, args: Any, call: dict[str, Any]) -> Any:
            return args, {**call, "attention_mask": late if number >= layer else early}

        return hook

    vision = ("pixel_values", "image_sizes", "pixel_values_videos")
    more = {name: inputs[name] for name in vision if name in inputs}
    positions = (seen.long().cumsum(0) - 1).clamp(min=0)[None]
    with ExitStack() as stack:
        for number, module in enumerate(model.get_decoder().layers):
            handle = module.register_forward_pre_hook(hide(number), with_kwargs=True)
            stack.callback(handle.remove)
        logits = model(
            input_ids=ids,
            attention_mask=seen[None].long(),
            position_ids=positions,
            use_cache=False,
            **more,
        ).logits
    return logits[0, inputs["input_ids"].shape[1] - 1 :]


def _additive(allowed: Tensor) -> Tensor:
    # Rows that see nothing (padding, dropped rows) see themselves: their output is not looked at.
    allowed = allowed | (torch.eye(len(allowed)).bool() & ~allowed.any(-1, keepdim=True))
    return torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))[None, None]
