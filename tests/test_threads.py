"""Several threads and one model: hooks of one must not meet the forward pass of another."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

from iwp import generate
from iwp.pruners import IWP
from tests import tiny
from tests.test_generate import NEAR, embedded


def test_threads_do_not_meet_in_one_model() -> None:
    model = tiny.model()
    embeds, visual = embedded(model, tiny.inputs())
    pruner = IWP(budget=0.2, layer=2)
    expected = generate.prefill(model, embeds, visual, pruner=pruner).logits
    whole = generate.prefill(model, embeds, visual).logits
    ranks = generate.rank(model, embeds, visual, pruner).ranks
    wrong: list[object] = []

    def pruned() -> None:
        logits = generate.prefill(model, embeds, visual, pruner=pruner).logits
        wrong.extend(["pruned"] if not torch.allclose(logits, expected, atol=NEAR) else [])

    def baseline() -> None:
        logits = generate.prefill(model, embeds, visual).logits
        wrong.extend(["baseline"] if not torch.allclose(logits, whole, atol=NEAR) else [])

    def ranked() -> None:
        found = generate.rank(model, embeds, visual, pruner).ranks
        wrong.extend(["ranks"] if not found.equal(ranks) else [])

    def repeatedly(work: Callable[[], None]) -> None:
        torch.set_num_threads(1)
        try:
            for _ in range(8):
                work()
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=repeatedly, args=(w,)) for w in (pruned, baseline, ranked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
