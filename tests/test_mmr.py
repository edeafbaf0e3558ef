"""Progressive chunked MMR: the loops' selection, nested over budgets, without a wait."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from iwp import dual
from iwp.mmr import chunk_sizes, progressive_chunked_mmr, ranks_of, select_in_chunks
from tests import oracles
from tests.waits import NoWaiting

BANDWIDTHS = ["sqrt_d", "median"]


def tokens(
    seed: int, n: int, d: int = 6, scale: float = 0.7
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    k, v = (torch.randn(2, n, d, generator=generator) * scale for _ in range(2))
    return torch.rand(n, generator=generator), k, v


@pytest.mark.parametrize("bandwidth", BANDWIDTHS)
@given(
    st.integers(0, 9999),
    st.integers(1, 26),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([0.5, 2.0, 5.0]),
    st.sampled_from([0.0, 0.01]),
    st.data(),
)
def test_same_selection_as_the_loops(
    bandwidth: str,
    seed: int,
    n: int,
    chunk: int,
    growth: int,
    penalty: float,
    floor: float,
    data: st.DataObject,
) -> None:
    keep = data.draw(st.integers(1, n))
    scores, k, v = tokens(seed, n)
    scores[0] = 0.0
    more = {"chunk": chunk, "growth": growth, "penalty": penalty, "bandwidth": bandwidth}
    more["floor"] = floor
    ours = progressive_chunked_mmr(scores, k, v, keep, **more)
    truth = oracles.chunked_mmr(scores.numpy(), k.numpy(), v.numpy(), keep, **more)
    assert ours.tolist() == truth


@pytest.mark.parametrize("bandwidth", BANDWIDTHS)
@settings(max_examples=15)
@given(st.integers(0, 9999), st.integers(1, 40), st.sampled_from([1, 2, 5, 40]))
def test_a_shorter_run_is_a_prefix_also_with_ties(
    bandwidth: str, seed: int, n: int, different: int
) -> None:
    scores, k, v = tokens(seed, n)
    scores = (scores * different).floor() / different
    same = torch.arange(n) % different  # few different tokens, many ties
    k, v = k[:, same], v[:, same]
    whole = progressive_chunked_mmr(scores, k, v, n, bandwidth=bandwidth)
    assert sorted(whole.tolist()) == list(range(n))
    for keep in range(1, n + 1):
        part = progressive_chunked_mmr(scores, k, v, keep, bandwidth=bandwidth)
        assert torch.equal(part, whole[:keep])


@pytest.mark.parametrize("bandwidth", BANDWIDTHS)
@pytest.mark.parametrize("n", [1, 2, 3, 50, 1000])
def test_a_blank_picture_keeps_the_first_tokens(bandwidth: str, n: int) -> None:
    _, k, v = tokens(0, 1, d=32, scale=30.0)
    k, v = k.repeat(1, n, 1), v.repeat(1, n, 1)
    order = progressive_chunked_mmr(torch.ones(n), k, v, n, bandwidth=bandwidth)
    assert order.tolist() == list(range(n))


@given(st.integers(0, 9999), st.integers(2, 40))
def test_the_order_of_tokens_does_not_matter_without_ties(seed: int, n: int) -> None:
    scores, k, v = tokens(seed, n)
    assume(scores.unique().numel() == n)
    moved = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    plain = progressive_chunked_mmr(scores, k, v, n)
    mixed = progressive_chunked_mmr(scores[moved], k[:, moved], v[:, moved], n)
    assert moved[mixed].tolist() == plain.tolist()


@given(st.integers(0, 9999), st.integers(2, 40), st.floats(0.25, 4.0))
def test_the_scale_of_scores_does_not_matter(seed: int, n: int, factor: float) -> None:
    scores, k, v = tokens(seed, n)
    factor = 2.0 ** round(factor)  # exact in binary: no score moves past another
    plain = progressive_chunked_mmr(scores, k, v, n)
    assert torch.equal(progressive_chunked_mmr(scores * factor, k, v, n), plain)


def test_a_double_is_put_off() -> None:
    scores, k, v = tokens(1, 12)
    scores = torch.linspace(1.0, 0.1, 12)
    k[:, 2], v[:, 2] = k[:, 0], v[:, 0]
    k[:, 3:] += 9.0 * torch.arange(3, 12)[:, None]  # like no other
    assert progressive_chunked_mmr(scores, k, v, 12).tolist()[-1] == 2
    assert progressive_chunked_mmr(scores, k, v, 12, penalty=0.0).tolist() == list(range(12))


def test_zero_scores_and_zero_values_are_no_trouble() -> None:
    _, k, v = tokens(2, 9)
    order = progressive_chunked_mmr(torch.zeros(9), k, torch.zeros_like(v), 9)
    assert order.tolist() == list(range(9))


@pytest.mark.parametrize(
    ("keep", "chunk", "growth", "sizes"),
    [(11, 2, 2, [2, 4, 5]), (1, 2, 2, [1]), (6, 2, 2, [2, 4]), (5, 2, 1, [2, 2, 1]), (0, 2, 2, [])],
)
def test_chunk_sizes(keep: int, chunk: int, growth: int, sizes: list[int]) -> None:
    assert chunk_sizes(keep, chunk, growth) == sizes


def test_few_chunks_and_no_wait_for_the_device() -> None:
    calls = []
    for n in (500, 1000):
        scores, k, v = tokens(3, n)
        with NoWaiting() as watch:
            progressive_chunked_mmr(scores, k, v, n, bandwidth="median")
        calls.append(watch.calls)
    assert calls[1] - calls[0] < 60  # one more chunk, not 500 more steps


def test_any_similarity_can_be_plugged_in() -> None:
    seen = []

    class Unlike:
        def __init__(self, n: int) -> None:
            self.n = n

        def take(self, tokens: torch.Tensor) -> Unlike:
            return Unlike(len(tokens))

        def most(self, others: Unlike) -> torch.Tensor:
            seen.append((self.n, others.n))
            return torch.zeros(self.n)

    scores = torch.tensor(np.linspace(0, 1, 20)).log()
    order = select_in_chunks(scores, 20, Unlike(20))
    assert order.tolist() == list(range(19, -1, -1))
    assert seen == [(20, 2), (20, 4), (6, 8)]  # the chosen leave when they are the greater part
    assert ranks_of(order).tolist() == list(range(19, -1, -1))
    assert select_in_chunks(scores, 7, None).tolist() == list(range(19, 12, -1))


@settings(max_examples=15)
@given(st.integers(0, 9999), st.sampled_from([0.0, 0.5, 5.0]))
def test_scores_far_below_a_floats_least_keep_their_order(seed: int, penalty: float) -> None:
    n = 20
    _, k, v = tokens(seed, n)
    logs = -1000.0 * torch.rand(n, generator=torch.Generator().manual_seed(seed))
    truth = oracles.chunked_mmr([oracles.exp(x) for x in logs], k, v, n, penalty=penalty)
    ours = select_in_chunks(logs, n, dual.similarity_between(k, v), penalty=penalty)
    assert ours.tolist() == truth
    assert (logs.exp() == 0).sum() > n / 2
