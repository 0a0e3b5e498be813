"""Images of one patient or camera stay together, with the duplicates of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable.data.splitting.grouping import check_given_splits, stay_together


def joined(copies: list[int], names: list[str]) -> list[int]:
    found = stay_together({"train": np.array(copies, np.uint64)}, {"train": names})
    return [int(number) for number in found["train"]]


def test_without_groups_duplicates_alone_stay_together() -> None:
    copies = {"train": np.array([3, 3, 5], np.uint64)}

    assert stay_together(copies, {})["train"].tolist() == [3, 3, 5]


def test_images_of_a_group_have_one_number_and_those_of_none_their_own() -> None:
    first, second, third, alone, copy = joined([9, 8, 7, 6, 6], ["a", "b", "a", "", ""])

    assert first == third
    assert len({first, second, alone}) == 3
    assert alone == copy == 6


def test_a_duplicate_joins_two_groups() -> None:
    first, second, third = joined([9, 9, 7], ["a", "b", "b"])

    assert first == second == third


def test_an_image_more_of_a_group_changes_no_number() -> None:
    assert joined([9, 8], ["a", "b"]) == joined([9, 8, 1], ["a", "b", "a"])[:2]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", "a", "b", "c", "d"]))))
def test_two_images_have_one_number_where_a_chain_of_groups_and_copies_connects_them(
    images: list[tuple[int, str]],
) -> None:
    found = joined([copy for copy, _ in images], [name for _, name in images])

    reached = [{index} for index in range(len(images))]
    for _ in images:
        for index, (copy, name) in enumerate(images):
            for other, (its_copy, its_name) in enumerate(images):
                if copy == its_copy or (name and name == its_name):
                    reached[index] |= reached[other]
    for index, own in enumerate(reached):
        assert own == {other for other, number in enumerate(found) if number == found[index]}


def test_groups_are_joined_across_the_splits_that_a_source_gives() -> None:
    copies = {"train": np.array([1, 2], np.uint64), "test": np.array([3], np.uint64)}

    found = stay_together(copies, {"train": ["a", "b"], "test": ["b"]})

    assert found["train"][1] == found["test"][0] != found["train"][0]


def test_a_group_in_two_given_splits_is_refused_by_name() -> None:
    check_given_splits({"train": ["a", "", "a"], "val": ["", "b"]})
    with pytest.raises(ValueError, match=r"data\.group: the images of b lie in test and train, an"):
        check_given_splits({"train": ["a", "b", "c"], "test": ["c", "b"]})
