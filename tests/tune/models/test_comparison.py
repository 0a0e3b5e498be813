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
    most_lost,
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
    assert back.most_lost > 0 > found.most_lost


def test_resamples_agree_with_the_exact_test_where_there_is_one() -> None:
    labels = torch.zeros(100, dtype=torch.long)
    right = answers(80, 1, 9, 10)
    made = [Predictions(torch.tensor([[float(r), 0.5] for r in one]), labels) for one in right]
    exact = compare_answers(*right, alpha=0.05)
    found = compare_predictions(ACCURACY, *made, alpha=0.05)
    assert (found.champion, found.challenger) == pytest.approx((0.81, 0.89))
    assert found.p_value == pytest.approx(exact.p_value, abs=0.02)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.01)
    assert found.most_lost == pytest.approx(exact.most_lost, abs=0.01)


def test_one_against_itself_does_not_differ_by_any_objective(pair: list[Predictions]) -> None:
    found = compare_predictions(LOSS, pair[0], pair[0], alpha=0.05)
    assert (found.p_value, found.low, found.high) == (1.0, 0.0, 0.0)


def test_a_small_alpha_can_be_reached() -> None:
    sure = torch.rand(50, generator=torch.Generator().manual_seed(0))
    found = compare_predictions(LOSS, predictions(sure), predictions(sure + 1), alpha=0.001)
    assert found.p_value < 0.001
    assert found.is_significant
    assert found.is_better


def test_the_words_name_what_is_compared() -> None:
    found = compare_answers(*answers(80, 1, 9, 10), alpha=0.05)
    assert found.figures("the old one") == (
        "89.00% against 81.00% of the old one on the same 100 test images, p = 0.021, difference "
        "+2.00 to +14.00 points"
    )
    assert found.in_words("it") == "at least 3.3 points better than it, with 95 % confidence"
    equal = compare_answers(*answers(80, 5, 5, 10), alpha=0.1)
    assert equal.in_words("it") == "4.31 points worse at most than it, with 90 % confidence"
    loss = Comparison(LOSS, 0.25, 0.125, 0.01, -0.2, -0.05, 60, 0.05, -0.0612, 0.1)
    assert loss.figures("it") == (
        "loss 0.125 against 0.25 of it on the same 60 test images, p = 0.01, difference "
        "-0.2 to -0.05"
    )
    assert loss.in_words("it") == "at least 0.0612 better than it, with 95 % confidence"


@pytest.mark.parametrize(("lost", "won"), [(1, 0), (5, 9), (9, 1), (0, 6)])
def test_at_the_bound_the_deviation_is_that_of_the_confidence(lost: int, won: int) -> None:
    """With the likeliest share of lost images looked for among many, instead of by a formula."""
    count, difference = 44, -float(most_lost(lost, won, 44, 0.05))
    shares = np.linspace(1e-7, 1, 2_000_001)
    shares = shares[(shares + difference > 1e-7) & (2 * shares + difference < 1 - 1e-7)]
    likelihood = (
        won * np.log(shares + difference)
        + lost * np.log(shares)
        + (count - won - lost) * np.log(1 - 2 * shares - difference)
    )
    losing = shares[likelihood.argmax()]
    variance = count * (2 * losing + difference - difference**2)
    deviations = (won - lost - count * difference) / variance**0.5
    assert deviations == pytest.approx(1.6449, abs=0.001)


@pytest.mark.parametrize(("count", "bound"), [(49, 0.0523), (360, 0.00746), (10_000, 0.000270)])
def test_two_that_always_agree_may_still_differ_where_there_are_few_images(
    count: int, bound: float
) -> None:
    z2 = 1.6448536**2
    assert most_lost(0, 0, count, 0.05) == pytest.approx(z2 / (count + z2), rel=1e-6)
    assert most_lost(0, 0, count, 0.05) == pytest.approx(bound, rel=1e-2)


@pytest.mark.parametrize(("count", "accuracy"), [(49, 0.75), (360, 0.95), (360, 0.85)])
def test_the_bound_is_exceeded_as_often_as_it_says(count: int, accuracy: float) -> None:
    draw = np.random.default_rng(0)
    shares = [0.04, 0.01, accuracy - 0.04, 1 - accuracy - 0.01]  # truly 3 points worse
    counts = draw.multinomial(count, shares, 20_000)
    missed = (most_lost(counts[:, 0], counts[:, 1], count, 0.05) < 0.03).mean()
    assert missed < 0.07


def test_the_smallest_that_can_be_shown_is_that_between_equals() -> None:
    found = compare_answers(*answers(320, 12, 4, 24), alpha=0.05)
    assert found.smallest == pytest.approx(most_lost(8, 8, 360, 0.05))
    assert found.most_lost > found.smallest > 0


def test_without_an_exact_test_shares_are_bounded_no_closer_than_images_allow() -> None:
    labels = torch.zeros(49, dtype=torch.long)
    alike = Predictions(torch.tensor([[1.0, 0.5]] * 49), labels)
    assert compare_predictions(ACCURACY, alike, alike, 0.05).most_lost == pytest.approx(
        0.0523, abs=1e-3
    )
    assert compare_predictions(LOSS, alike, alike, 0.05).most_lost == 0


def test_predictions_of_other_images_are_refused(pair: list[Predictions]) -> None:
    with pytest.raises(ValueError, match="400 images against 3"):
        compare_predictions(LOSS, pair[0], predictions(torch.ones(3)), alpha=0.05)


def test_answers_to_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="3 images against 2"):
        compare_answers(np.ones(3, bool), np.ones(2, bool), alpha=0.05)
