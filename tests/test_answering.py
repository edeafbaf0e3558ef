"""How the seconds of an answer add up."""

from __future__ import annotations

import pytest

from iwp.answering import _timing


@pytest.mark.parametrize(
    ("seconds", "recorded", "further"),
    [
        ([0.1, 9.0, 0.2, 0.4], True, 0.3),
        ([0.1, 9.0, 0.2, 0.4], False, 3.2),
        ([0.1, 9.0], True, 0.0),
        ([0.1], True, 0.0),
    ],
)
def test_recording_is_no_part_of_a_further_token(
    seconds: list[float], recorded: bool, further: float
) -> None:
    timing = _timing(1.0, 0.2, 2.0, seconds, recorded)
    assert timing.per_token_s == pytest.approx(further)
    assert timing.total_s == pytest.approx(3.0 + sum(seconds))
    assert timing.first_token_s == pytest.approx(3.1)
