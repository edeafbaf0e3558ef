"""What IWP's choice costs: projections, operators and memory. All counted, none timed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile
from transformers import Qwen2Config

from iwp import dual
from iwp.bench import select
from iwp.bench.memory import Held
from iwp.dual import similarities
from iwp.mmr import chunk_sizes, progressive_chunked_mmr
from iwp.pruners import IWP, LayerView

CONFIG = Qwen2Config(
    hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=8
)
# These hand out the same memory under another shape: no device has anything to do.
VIEWS = {
    f"aten::{name}"
    for name in (
        *("alias", "chunk", "expand", "flatten", "narrow", "reshape", "select", "slice"),
        *("squeeze", "transpose", "unsqueeze", "view", "to"),  # float32 stays what it is
    )
}


def scene(n: int) -> LayerView:
    return select.scene(n, CONFIG, torch.device("cpu"), torch.float32)


def operators(n: int, keep: int, **options: Any) -> Counter[str]:
    """The operators that our code calls to choose `keep` of n tokens; a kernel launch each."""
    view, method = scene(n), IWP(**options)
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as record:
        method.select(view, keep)
    names = ((e.name, "" if e.cpu_parent is None else e.cpu_parent.name) for e in record.events())
    return Counter(
        name
        for name, caller in names
        if name.startswith("aten::") and not caller.startswith("aten::") and name not in VIEWS
    )


@pytest.mark.parametrize("keep", [6, 30, 126])
@pytest.mark.parametrize("bandwidth", ["sqrt_d", "median"])
def test_operators_are_few_and_grow_with_the_chunks_alone(keep: int, bandwidth: str) -> None:
    """A launch takes a GPU about 5 us, whatever is computed: some 300 of them are 1.5 ms.

    70 do not depend on the chunks: three projections, the rotation, the magnitude and, 21 more, the
    distances that the median width samples. A chunk takes 24: it sorts, gathers what it has chosen,
    compares it with all others in one table, and takes the penalty off. The last one only sorts.
    Chunks double: 12 of them choose 8,190 tokens.
    """
    counts = {n: operators(n, keep, bandwidth=bandwidth).total() for n in (300, 1200)}
    assert counts[300] == counts[1200]
    once = 75 + (21 if bandwidth == "median" else 0)  # 5 for what a release may change in its norm
    assert counts[300] <= once + 24 * (len(chunk_sizes(keep)) - 1)


def test_dropping_the_chosen_rows_takes_few_operators() -> None:
    """Where most tokens are chosen already, a chunk gathers what is left: six operators more."""
    few, all_tokens = operators(1200, 510).total(), operators(1200, 1200).total()
    more = len(chunk_sizes(1200)) - len(chunk_sizes(510))
    assert all_tokens - few <= 30 * more


def test_only_what_is_needed_is_projected() -> None:
    view, rows = scene(50), {}
    for name in "qkvo":
        getattr(view.layer.self_attn, f"{name}_proj").register_forward_pre_hook(
            lambda _, args, name=name: rows.setdefault(name, []).append(args[0].shape[0])
        )
    view.layer.mlp.register_forward_pre_hook(lambda *_: rows.setdefault("mlp", []))
    IWP().select(view, 9)
    # The normaliser sums over the keys of the whole prompt (Eq. 5).
    assert rows == {"q": [len(view.text)], "k": [len(view.prompt)], "v": [50]}


# --- comparing in blocks --------------------------------------------------------------------


def tokens(seed: int, n: int, different: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores, keys and values of n tokens, of which only some differ."""
    generator = torch.Generator().manual_seed(seed)
    k, v = (torch.randn(2, different, 6, generator=generator) * 0.7 for _ in range(2))
    same = torch.randint(0, different, (n,), generator=generator)
    return torch.rand(different, generator=generator)[same], k[:, same], v[:, same]


@settings(max_examples=40)
@given(
    st.integers(0, 9999),
    st.integers(1, 200),
    st.sampled_from([1, 3, 200]),
    st.integers(1, 20_000),
)
def test_blocks_choose_what_one_table_chooses(
    seed: int, n: int, different: int, block: int
) -> None:
    scores, k, v = tokens(seed, n, different)
    whole = progressive_chunked_mmr(scores, k, v, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarities, "BLOCK", block)
        assert torch.equal(progressive_chunked_mmr(scores, k, v, n), whole)


@given(st.integers(0, 9999), st.integers(1, 40), st.integers(1, 90), st.integers(1, 5000))
def test_the_most_of_all_blocks_is_the_most_of_the_table(
    seed: int, n: int, m: int, block: int
) -> None:
    _, k, v = tokens(seed, n + m, n + m)
    every = dual.similarity_between(k, v)
    some, others = every.take(torch.arange(n)), every.take(torch.arange(n, n + m))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarities, "BLOCK", block)
        most = some.most(others)
    torch.testing.assert_close(most, some.table(others).amax(dim=1), rtol=0, atol=2e-6)


def test_memory_grows_with_the_tokens_and_not_with_the_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(similarities, "BLOCK", 2**17)

    def peak(n: int, keep: int) -> int:
        scores, k, v = tokens(0, n, n)
        with torch.no_grad(), Held() as held:
            progressive_chunked_mmr(scores, k, v, keep)
        return held.peak

    table = 2 * 4 * 2**17  # of the Gaussian and of the cosine, float32
    small = peak(2000, 500)
    assert table < small < 2 * table
    assert peak(2000, 900) < 1.1 * small  # a chunk of 256 rows is compared where it was 128
    assert peak(4000, 500) < 2 * small
