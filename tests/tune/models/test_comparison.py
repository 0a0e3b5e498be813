from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from trainable.metrics import Objective
from trainable.predictions import Predictions
from tune.models.comparison import (
    ACCURACY,
    Comparison,
    compare_answers,
    compare_predictions,
    promotes,
)


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


def predictions(sure: torch.Tensor) -> Predictions:
    """Predictions that are right about every image, more or less surely."""
    labels = torch.arange(len(sure)) % 3
    return Predictions(torch.nn.functional.one_hot(labels, 3) * sure[:, None], labels)


LOSS = Objective.named("val_loss")


def pair_of(lead: float) -> list[Predictions]:
    """A champion, and a challenger that is surer by so much on average."""
    generator = torch.Generator().manual_seed(0)
    sure = torch.rand(400, generator=generator) * 3
    return [predictions(sure), predictions(sure + lead + torch.randn(400, generator=generator))]


@pytest.fixture(scope="module")
def pair() -> list[Predictions]:
    return pair_of(0.45)


@pytest.mark.parametrize("lead", [0.3, 0.38, 0.45])
def test_of_what_has_no_exact_test_the_resamples_tell(lead: float) -> None:
    champion, challenger = pair_of(lead)
    found = compare_predictions(LOSS, champion, challenger, alpha=0.05)
    assert (found.champion, found.challenger) == (champion.loss, challenger.loss)
    losses = [
        torch.nn.functional.cross_entropy(one.logits, one.labels, reduction="none").numpy()
        for one in (challenger, champion)
    ]
    differences = losses[0] - losses[1]
    error = differences.std() / 20  # of a mean of 400
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.low < differences.mean() < found.high
    assert found.p_value == pytest.approx(ttest_1samp(differences, 0).pvalue, abs=0.03)
    assert (found.high < 0) is (found.p_value < 0.05)


def test_the_lower_loss_is_the_better(pair: list[Predictions]) -> None:
    found = compare_predictions(LOSS, *pair, alpha=0.05)
    assert found.is_better
    assert found.high < 0
    back = compare_predictions(LOSS, *reversed(pair), alpha=0.05)
    assert not back.is_better
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert not promotes("not-worse", back, alpha=0.05)


def test_resamples_agree_with_the_exact_test_where_there_is_one() -> None:
    labels = torch.zeros(100, dtype=torch.long)
    right = answers(80, 1, 9, 10)
    made = [Predictions(torch.tensor([[float(r), 0.5] for r in one]), labels) for one in right]
    exact = compare_answers(*right, alpha=0.05)
    found = compare_predictions(ACCURACY, *made, alpha=0.05)
    assert (found.champion, found.challenger) == pytest.approx((0.81, 0.89))
    assert found.p_value == pytest.approx(exact.p_value, abs=0.02)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_one_against_itself_does_not_differ_by_any_objective(pair: list[Predictions]) -> None:
    found = compare_predictions(LOSS, pair[0], pair[0], alpha=0.05)
    assert (found.p_value, found.low, found.high) == (1.0, 0.0, 0.0)


def test_a_small_alpha_can_be_reached() -> None:
    sure = torch.rand(50, generator=torch.Generator().manual_seed(0))
    found = compare_predictions(LOSS, predictions(sure), predictions(sure + 1), alpha=0.001)
    assert found.p_value < 0.001
    assert promotes("better", found, alpha=0.001)


def test_the_words_name_what_is_compared(pair: list[Predictions]) -> None:
    assert str(compare_answers(*answers(80, 1, 9, 10), alpha=0.05)) == (
        "89.00% against the champion's 81.00% of the same test images, p = 0.021, difference "
        "+2.00 to +14.00 points"
    )
    found = Comparison(LOSS, 0.25, 0.125, 0.01, -0.2, -0.05)
    assert str(found) == (
        "loss 0.125 against the champion's 0.25 of the same test images, p = 0.01, difference "
        "-0.2 to -0.05"
    )


def test_predictions_of_other_images_are_refused(pair: list[Predictions]) -> None:
    with pytest.raises(ValueError, match="400 images against 3"):
        compare_predictions(LOSS, pair[0], predictions(torch.ones(3)), alpha=0.05)


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
