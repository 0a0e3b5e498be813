from __future__ import annotations

import torch
from torch import Tensor

from trainable.network.soup import StateDict, greedy_soup


def member(value: float) -> dict[str, Tensor]:
    return {"weight": torch.full((2,), value), "count": torch.tensor(7)}


def nearness(target: float) -> object:
    def score(state: StateDict) -> tuple[float, float]:
        return -abs(float(state["weight"][0]) - target), 0.0

    return score


def test_what_makes_it_no_worse_is_added_and_the_rest_left_out() -> None:
    soup, ingredients = greedy_soup([member(v) for v in (1.0, 20.0, 3.0, 5.0)], nearness(3.0))
    assert ingredients == [0, 2, 3]
    assert torch.allclose(soup["weight"], torch.tensor(3.0))
    assert soup["count"] == 7


def test_a_single_member_is_the_soup() -> None:
    soup, ingredients = greedy_soup([member(1.0)], nearness(0.0))
    assert ingredients == [0]
    assert torch.equal(soup["weight"], member(1.0)["weight"])
