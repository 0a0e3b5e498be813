"""Which networks a greedy soup takes, and what it makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from trainable.network.soup import StateDict, greedy_soup

Score = Callable[[StateDict], tuple[float, float]]


def member(value: float, count: int = 7) -> dict[str, Tensor]:
    return {"weight": torch.full((2,), value), "count": torch.tensor(count)}


def members(*values: float) -> list[dict[str, Tensor]]:
    return [member(value) for value in values]


def value_of(state: StateDict) -> float:
    first, second = state["weight"].tolist()
    assert first == second
    return first


class Judge:
    """Scores a soup, and notes what it was asked about."""

    def __init__(self, score: Callable[[float], float | tuple[float, float]]) -> None:
        self._score, self.asked = score, list[float]()

    def __call__(self, state: StateDict) -> tuple[float, float]:
        self.asked.append(value_of(state))
        score = self._score(self.asked[-1])
        return score if isinstance(score, tuple) else (score, 0.0)


def nearest(target: float) -> Judge:
    return Judge(lambda value: -abs(value - target))


def test_members_are_tried_in_their_order_with_those_taken_before() -> None:
    judge = nearest(3.0)

    soup, ingredients = greedy_soup(members(1.0, 20.0, 3.0, 5.0), judge)

    assert judge.asked == [1.0, 10.5, 2.0, 3.0]
    assert ingredients == [0, 2, 3]
    assert value_of(soup) == 3.0


@pytest.mark.parametrize(
    ("order", "ingredients", "value"),
    [((1.0, 3.0, 8.0), [0, 1, 2], 4.0), ((1.0, 8.0, 3.0), [0, 1], 4.5)],
)
def test_another_order_makes_another_soup(
    order: Sequence[float], ingredients: list[int], value: float
) -> None:
    """The 3 is taken before the 8, which brings it nearer to 5; after the 8 it leads away."""
    soup, found = greedy_soup(members(*order), nearest(5.0))

    assert found == ingredients
    assert value_of(soup) == value


def test_one_that_changes_nothing_is_taken() -> None:
    assert greedy_soup(members(1.0, 2.0, 3.0), Judge(lambda _: 0.5))[1] == [0, 1, 2]


def test_one_that_makes_it_worse_by_a_little_is_left_out() -> None:
    judge = Judge(lambda value: 0.5 if value == 1.0 else 0.5 - 1e-9)

    soup, ingredients = greedy_soup(members(1.0, 2.0, 3.0), judge)

    assert ingredients == [0]
    assert value_of(soup) == 1.0


def test_of_equals_the_second_score_decides() -> None:
    judge = Judge({1.0: (0.9, -0.5), 2.0: (0.9, -0.6), 4.0: (0.9, -0.4)}.__getitem__)

    assert greedy_soup(members(1.0, 3.0, 7.0), judge)[1] == [0, 2]


def test_what_was_left_out_does_not_lower_what_the_next_must_reach() -> None:
    scores = {1.0: 0.9, 2.0: 0.1, 4.0: 0.5}

    assert greedy_soup(members(1.0, 3.0, 7.0), Judge(scores.__getitem__))[1] == [0]


def test_it_is_the_mean_of_all_that_were_taken() -> None:
    soup, _ = greedy_soup(members(0.0, 3.0, 9.0, 8.0), Judge(lambda _: 0.0))

    assert value_of(soup) == 5.0


def test_integers_stay_the_firsts() -> None:
    soup, _ = greedy_soup([member(1.0, 7), member(2.0, 10)], Judge(lambda _: 0.0))

    assert soup["count"].item() == 7
    assert not soup["count"].is_floating_point()


def test_members_stay_as_they_are() -> None:
    given = members(1.0, 2.0, 3.0)

    greedy_soup(given, Judge(lambda _: 0.0))

    assert [value_of(state) for state in given] == [1.0, 2.0, 3.0]


def test_a_single_member_is_the_soup() -> None:
    soup, ingredients = greedy_soup(members(1.0), nearest(0.0))

    assert ingredients == [0]
    assert value_of(soup) == 1.0
