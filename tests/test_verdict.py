"""What is said about two answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from iwp.types import Answer, Ranking, Timing
from iwp.verdict import first_token_odds, judge, scale_warning

BASELINE = Answer("red", 1, 4, Timing(0, 0, 0, 0, 0, 0), 0, None, "eos")
PRUNED = replace(BASELINE, visual_tokens=2)
ERRORS = torch.tensor([1.0, 0.5, 0.25, 0.125, 0.0])
RANKING = Ranking(torch.arange(4), torch.ones(4), ERRORS, ERRORS / 2)


def test_errors_are_read_at_the_number_of_kept_tokens() -> None:
    found = judge(RANKING, BASELINE, PRUNED, None, None)
    assert (found.dual_weight_error, found.output_error) == (0.25, 0.125)
    assert found.first_token_kl is None
    nothing = judge(Ranking(torch.arange(4), torch.ones(4)), BASELINE, PRUNED, None, None)
    assert (nothing.dual_weight_error, nothing.output_error) == (None, None)


def test_answers_are_the_same_only_where_both_are_whole() -> None:
    assert judge(RANKING, BASELINE, PRUNED, None, None).same_answer is True
    other = replace(PRUNED, answer="blue")
    assert judge(RANKING, BASELINE, other, None, None).same_answer is False
    stopped = replace(PRUNED, finish="stopped")
    assert judge(RANKING, BASELINE, stopped, None, None).same_answer is None


def test_equal_logits_have_no_divergence() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0])
    assert judge(RANKING, BASELINE, PRUNED, logits, logits).first_token_kl == 0.0
    moved = judge(RANKING, BASELINE, PRUNED, logits, logits.flip(0)).first_token_kl
    p, q = logits.double().softmax(0), logits.flip(0).double().softmax(0)
    assert moved == pytest.approx(float((p * (p / q).log()).sum()))


def test_a_warning_comes_only_with_wide_keys_under_the_fixed_width() -> None:
    assert "9.0" in (scale_warning(9.0, "sqrt_d") or "")
    for exponent, bandwidth in ((8.0, "sqrt_d"), (31.0, "median"), (31.0, None), (None, "sqrt_d")):
        assert scale_warning(exponent, bandwidth) is None


def test_odds_are_those_of_the_likeliest_tokens_of_either_side() -> None:
    left, right = (
        torch.tensor([0.8, 0.1, 0.06, 0.04]).log(),
        torch.tensor([0.1, 0.1, 0.2, 0.6]).log(),
    )
    found = first_token_odds(left, right, lambda ids: f"<{ids[0]}>", most=2)
    assert [one.token for one in found] == ["<0>", "<1>", "<3>", "<2>"]
    assert [one.baseline for one in found] == pytest.approx([0.8, 0.1, 0.04, 0.06])
    assert [one.pruned for one in found] == pytest.approx([0.1, 0.1, 0.6, 0.2])
    assert first_token_odds(None, right, str) == first_token_odds(left, None, str) == ()
    assert len(first_token_odds(left[:1], right[:1], str)) == 1
