from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest, ttest_1samp

from trainable.config import ObjectiveConfig
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from tune.models.bound import most_lost
from tune.models.comparison import ACCURACY, Comparison, compare_answers, compare_predictions


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
RESAMPLED = Objective(replace(ACCURACY.metric, hits=None))
"""The accuracy, as a share of which it is not known that it is one of images."""


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
    found = compare_predictions(RESAMPLED, *made, alpha=0.05)
    assert (found.champion, found.challenger) == pytest.approx((0.81, 0.89))
    assert found.p_value == pytest.approx(exact.p_value, abs=0.02)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.01)
    assert found.most_lost == pytest.approx(exact.most_lost, abs=0.01)


def test_one_against_itself_does_not_differ_by_any_objective(pair: list[Predictions]) -> None:
    found = compare_predictions(LOSS, pair[0], pair[0], alpha=0.05)
    assert (found.p_value, found.low, found.high) == (1.0, 0.0, 0.0)


@pytest.mark.slow
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
    assert compare_predictions(RESAMPLED, alike, alike, 0.05).most_lost == pytest.approx(
        0.0523, abs=1e-3
    )
    assert compare_predictions(LOSS, alike, alike, 0.05).most_lost == 0


def test_predictions_of_other_images_are_refused(pair: list[Predictions]) -> None:
    with pytest.raises(ValueError, match="400 images against 3"):
        compare_predictions(LOSS, pair[0], predictions(torch.ones(3)), alpha=0.05)


def test_answers_to_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="3 images against 2"):
        compare_answers(np.ones(3, bool), np.ones(2, bool), alpha=0.05)


BY_CLASS = [Objective.named(name) for name in ("val_balanced_acc", "val_macro_f1", "val_auroc")]


def rare(own: int, wrong: int = 0, *, seed: int = 0, common: int = 200) -> Predictions:
    """A model on `common` images of two classes and `own` of a third, wrong about some of these."""
    labels = torch.cat([torch.arange(common) % 2, torch.full((own,), 2)])
    logits = 4.0 * torch.nn.functional.one_hot(labels, 3)
    logits[common : common + wrong] = logits[common : common + wrong].roll(1, 1)
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
    return Predictions(logits + 0.01 * noise, labels)


@pytest.mark.parametrize("objective", BY_CLASS, ids=lambda each: each.name)
def test_what_counts_classes_alike_is_resampled_by_class(objective: Objective) -> None:
    found = compare_predictions(objective, rare(40, 20), rare(40), alpha=0.05)
    assert found.is_better
    assert found.is_significant
    assert found.most_lost < 0 < found.low
    assert found.resamples == 2_000
    assert "of 2,000 resamples by class, difference +" in found.figures("it")
    assert compare_predictions(objective, rare(40, 20), rare(40), alpha=0.05) == found
    worse = compare_predictions(objective, rare(40), rare(40, 20), alpha=0.05)
    assert not worse.is_better
    assert worse.most_lost > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("objective", BY_CLASS, ids=lambda each: each.name)
def test_two_images_of_a_class_show_nothing(objective: Objective) -> None:
    """Every resample by class holds both, and shows no spread at all."""
    alike = compare_predictions(objective, rare(2), rare(2, seed=1), alpha=0.05)
    assert alike.most_lost > 0.15
    assert alike.smallest > 0.15
    won = compare_predictions(objective, rare(2, 2), rare(2), alpha=0.05)
    assert won.is_better
    assert not won.is_significant


@pytest.mark.slow
def test_by_class_the_bound_is_exceeded_about_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Truly 5 points worse by the mean of recalls: 10 in a class of 15 images, 0 in one of 60."""
    monkeypatch.setattr("tune.models.comparison._EVALUATIONS", 1)
    draw, balanced, missed, count = np.random.default_rng(0), BY_CLASS[0], 0, 60
    labels = torch.cat([torch.zeros(60), torch.ones(15)]).long()
    for _ in range(count):
        chance = np.where(labels == 1, 0.8, 0.9)
        champion = draw.random(75) < chance
        flipped = draw.random(75)
        lost = (labels == 1).numpy() & (flipped < 0.1 / 0.8)
        pair = [
            Predictions(
                torch.nn.functional.one_hot(
                    torch.where(torch.from_numpy(right), labels, 1 - labels), 2
                ).float(),
                labels,
            )
            for right in (champion, champion & ~lost)
        ]
        found = compare_predictions(balanced, *pair, alpha=0.05)
        missed += found.most_lost < 0.05
    assert missed / count < 0.12


def test_a_share_of_the_images_is_compared_exactly() -> None:
    top5 = Objective.named("val_top5_acc")
    labels, draw = torch.arange(60) % 10, torch.Generator().manual_seed(0)
    pair = [Predictions(torch.randn(60, 10, generator=draw), labels) for _ in range(2)]
    found = compare_predictions(top5, *pair, alpha=0.05)
    hits = [each.outcomes.in_top for each in pair]
    lost, won = int((hits[0] & ~hits[1]).sum()), int((hits[1] & ~hits[0]).sum())
    assert found.p_value == pytest.approx(binomtest(won, won + lost).pvalue)
    assert found.most_lost == pytest.approx(most_lost(lost, won, 60, 0.05))
    assert found.resamples == 0
    assert found.figures("it").startswith("top-5 accuracy ")


def test_costs_are_compared_in_their_own_units() -> None:
    config = ObjectiveConfig.model_validate(
        {"metric": "val_cost", "costs": {"c": {"b": 10, "a": 10}}}
    )
    objective = Objective.of(config, ["a", "b", "c"])
    found = compare_predictions(objective, rare(40, 20), rare(40, 5), alpha=0.05)
    assert (found.champion, found.challenger) == pytest.approx((200 / 240, 50 / 240))
    assert found.is_better
    assert found.is_significant
    assert found.figures("it").startswith("cost 0.2083 against 0.8333 of it on the same 240")
    assert found.in_words("it").startswith("at least 0.")
