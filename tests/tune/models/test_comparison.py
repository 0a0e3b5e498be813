from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tune.models.comparison import ACCURACY, Comparison, compare_answers, promotes


def answers(both: int, champion: int, challenger: int, neither: int) -> list[NDArray[np.bool_]]:
    """Who is right about how many images."""
    pairs = [(True, True)] * both + [(True, False)] * champion
    pairs += [(False, True)] * challenger + [(False, False)] * neither
    return [np.array(column) for column in zip(*pairs, strict=True)]


def test_the_exact_p_value_is_that_of_a_sign_test() -> None:
    # 1 of 10 discordant pairs or fewer, on both sides: 2 * (1 + 10) / 2**10.
    found = compare_answers(*answers(80, 1, 9, 10), alpha=0.05)
    assert found.p_value == pytest.approx(22 / 1024)
    assert (found.champion, found.challenger) == (0.81, 0.89)


def test_the_interval_holds_the_difference_and_narrows_with_more_images() -> None:
    few, many = (compare_answers(*answers(80 * n, n, 9 * n, 10 * n), alpha=0.05) for n in (1, 100))
    for found in (few, many):
        assert found.low < 0.08 < found.high
    assert many.high - many.low < 0.2 * (few.high - few.low)
    # The standard error of a mean of 10,000 values of -1, 0 and 1.
    spread = ((0.09 + 0.01) - 0.08**2) ** 0.5 / 100
    assert many.high - many.low == pytest.approx(2 * 1.96 * spread, rel=0.05)


def test_two_that_answer_alike_do_not_differ() -> None:
    found = compare_answers(*answers(9, 0, 0, 1), alpha=0.05)
    assert (found.p_value, found.low, found.high) == (1.0, 0.0, 0.0)


def test_answers_to_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="3 images against 2"):
        compare_answers(np.ones(3, bool), np.ones(2, bool), alpha=0.05)


def difference(by: float, p_value: float) -> Comparison:
    return Comparison(ACCURACY, 0.9, 0.9 + by, p_value, by - 0.01, by + 0.01)


@pytest.mark.parametrize(
    ("by", "p_value", "better", "not_worse"),
    [
        (0.05, 0.01, True, True),
        (0.05, 0.20, False, True),
        (0.00, 1.00, False, True),
        (-0.05, 0.20, False, True),
        (-0.05, 0.01, False, False),
    ],
)
def test_the_rules(by: float, p_value: float, better: bool, not_worse: bool) -> None:
    found = difference(by, p_value)
    assert promotes("better", found, 0.05) is better
    assert promotes("not-worse", found, 0.05) is not_worse
    assert promotes("always", found, 0.05)
    assert not promotes("never", found, 0.05)


def test_without_a_champion_the_first_is_it_unless_none_shall_be() -> None:
    assert all(promotes(rule, None, 0.05) for rule in ("better", "not-worse", "always"))
    assert not promotes("never", None, 0.05)
