"""Which challengers are promoted, and how the reason is worded."""

from __future__ import annotations

import numpy as np
import pytest

from tune.models.comparison import Comparison, compare_answers
from tune.models.verdict import Rival, Rule, decide


def compared(lost: int, won: int, count: int = 2000, alpha: float = 0.05) -> Comparison:
    """Two models of which one loses so many images that the other gets right, and wins others."""
    champion, challenger = np.ones(count, bool), np.ones(count, bool)
    champion[:won] = False
    challenger[won : won + lost] = False
    return compare_answers(champion, challenger, alpha)


def decided(rule: Rule, *pairs: tuple[int, int], count: int = 2000, margin: float = 0.01) -> bool:
    rivals = [Rival(1, "a model", compared(*pair, count)) for pair in pairs]
    return decide(rule, margin, rivals).promoted


@pytest.mark.parametrize(
    ("lost", "won", "better", "not_worse"),
    [
        (10, 60, True, True),
        (30, 33, False, True),
        (33, 30, False, True),
        (45, 30, False, False),
        (60, 10, False, False),
    ],
)
def test_the_rules(lost: int, won: int, better: bool, not_worse: bool) -> None:
    assert decided("better", (lost, won)) is better
    assert decided("not-worse", (lost, won)) is not_worse
    assert decided("always", (lost, won))
    assert not decided("never", (lost, won))


def test_five_lost_of_360_and_none_won_does_not_pass() -> None:
    """McNemar's p-value of 0.0625 says that it is not shown to be worse; nor is it shown not to."""
    assert compared(5, 0, 360).p_value == 0.0625
    assert not decided("not-worse", (5, 0), count=360)


def test_four_searches_on_49_images_do_not_wear_the_champion_down() -> None:
    """75.5, 71.4, 59.2 and 40.8 %: each was no significantly worse than the one before."""
    for lost, won in ((4, 2), (12, 6), (20, 11)):
        assert compared(lost, won, 49).p_value > 0.05
        assert not decided("not-worse", (lost, won), count=49)


def test_it_must_not_be_worse_than_the_best_so_far_either() -> None:
    assert decided("not-worse", (10, 10), (12, 12))
    assert not decided("not-worse", (10, 10), (40, 10))
    assert decided("better", (5, 60), (5, 60))
    assert not decided("better", (5, 60), (20, 22))
    assert decided("always", (10, 10), (40, 10))


def test_a_wider_margin_lets_more_pass() -> None:
    assert not decided("not-worse", (33, 20))
    assert decided("not-worse", (33, 20), margin=0.02)


def words(rule: Rule, *pairs: tuple[int, int], count: int = 2000, judged: int = 1) -> str:
    roles = ((3, "the champion"), (2, "the best one so far"))
    rivals = [
        Rival(*role, compared(*pair, count)) for role, pair in zip(roles, pairs, strict=False)
    ]
    return decide(rule, 0.01, rivals, judged).reason


def test_a_promotion_says_how_much_worse_it_may_be_than_each() -> None:
    assert words("not-worse", (10, 12), (8, 11)).startswith(
        "promoted (not-worse): 0.31 points worse at most than the champion (version 3), with 95 % "
        "confidence, and registry.margin allows 1 point; 0.23 points worse at most than the best "
        "one so far (version 2), with 95 % confidence, and registry.margin allows 1 point; 99.50% "
        "against 99.40% of the champion (version 3) on the same 2000 test images, p = 0.83"
    )


def test_a_refusal_names_the_rival_that_is_in_the_way() -> None:
    found = words("not-worse", (10, 12), (60, 11))
    assert found.startswith("not promoted (not-worse): 3.")
    assert "worse at most than the best one so far (version 2)" in found
    assert "registry.margin allows only 1 point" in found
    assert "version 3" not in found


def test_few_images_are_told_what_they_cannot_show() -> None:
    assert "of two equally good models, so few images could show no less than 9." in words(
        "not-worse", (4, 2), count=49
    )
    assert "so few images" not in words("not-worse", (40, 30))
    assert "so few images" not in words("better", (4, 2), count=49)


def test_what_better_asks_for_is_told_in_its_words() -> None:
    assert words("better", (10, 60)).startswith("promoted (better): better than the champion")
    assert words("better", (30, 33)).startswith(
        "not promoted (better): not significantly better than the champion"
    )


def test_images_that_have_judged_before_are_counted() -> None:
    assert "models have been judged" not in words("not-worse", (10, 12))
    found = words("not-worse", (10, 12), judged=4)
    assert found.endswith(
        "; 4 models have been judged by these images, which leaves at least 80 % confidence in all "
        "of these decisions together"
    )
    assert words("not-worse", (10, 12), judged=12).endswith(
        "which leaves at least 40 % confidence in all of these decisions together: it is time for "
        "new test images"
    )
    assert words("not-worse", (10, 12), judged=20).endswith(
        "20 models have been judged by these images, too many for any confidence in all of these "
        "decisions together: it is time for new test images"
    )


@pytest.mark.parametrize("rule", ["always", "never"])
def test_where_the_images_decide_nothing_it_is_not_said_how_often_they_have_judged(
    rule: Rule,
) -> None:
    assert "have been judged" not in words(rule, (10, 12), judged=30)
