"""Slow, obvious versions of what the library does fast: the truth that the tests compare with."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor

# --- the method, one token at a time, in float64 ---------------------------------------------


def magnitude(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    text: list[int],
    visual: list[int],
    normalizer: str = "eta",
) -> np.ndarray:
    """Eq. 10 word for word: (H,S,d), (Hkv,S,d), (Hkv,S,d) -> (n,) in [0, 1]."""
    q, k, v = (np.asarray(a, dtype=np.float64) for a in (q, k, v))
    heads, size, d = q.shape
    group = heads // k.shape[0]
    logits = np.zeros((heads, size))
    for h in range(heads):
        query = np.mean([q[h, t] for t in text], axis=0)
        for j in range(size):
            logits[h, j] = query @ k[h // group, j] / math.sqrt(d)
    if normalizer == "none":
        logits -= logits[:, visual].max()
    totals = np.ones(heads)
    for h in range(heads):
        shift = 0.0 if normalizer == "none" else logits[h].max()
        logits[h] -= shift
        if normalizer != "none":
            among = range(size) if normalizer == "eta" else visual
            totals[h] = sum(math.exp(logits[h, j]) for j in among)
    raw = np.zeros(len(visual))
    for number, i in enumerate(visual):
        for h in range(heads):
            norm = math.sqrt(sum(x * x for x in v[h // group, i]))
            raw[number] += math.exp(logits[h, i]) * norm / totals[h] / heads
    if raw.max() == raw.min():
        return np.ones(len(visual))
    return (raw - raw.min()) / (raw.max() - raw.min())


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


def similarity(k: np.ndarray, v: np.ndarray, i: int, j: int, width: np.ndarray) -> float:
    """Eq. 12 for one pair of tokens, keys after rotary."""
    total = 0.0
    for g in range(k.shape[0]):
        norms = np.linalg.norm(v[g, i]) * np.linalg.norm(v[g, j])
        cosine = v[g, i] @ v[g, j] / norms if norms > 0 else 0.0
        total += (cosine * math.exp(-((k[g, i] - k[g, j]) ** 2).sum() / width[g])) ** 2
    return total / k.shape[0]


def chunked_mmr(
    scores: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    keep: int,
    chunk: int = 2,
    growth: int = 2,
    penalty: float = 5.0,
    floor: float = 0.01,
    bandwidth: str = "sqrt_d",
) -> list[int]:
    """Algorithm 1 with sets and loops."""
    k, v = np.asarray(k, dtype=np.float64), np.asarray(v, dtype=np.float64)
    left = [float(s) for s in scores]
    width = widths(k, bandwidth)
    chosen: list[int] = []
    while len(chosen) < keep:
        size = min(chunk, keep - len(chosen))
        open_ = [i for i in range(len(left)) if i not in chosen]
        new = sorted(open_, key=lambda i: (-left[i], i))[:size]
        chosen += new
        for i in open_:
            if i not in new:
                most = max(similarity(k, v, i, j, width) for j in new)
                left[i] *= max(floor, 1.0 - penalty * most)
        chunk *= growth
    return chosen


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
