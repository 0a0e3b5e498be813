"""Whether two sets of test images count as the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trainable.config import DataConfig
from trainable.data.datasets import Dataset, load_dataset
from tune.models.judged import overlap, sketch


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataConfig())


def with_hashes(dataset: Dataset, hashes: np.ndarray) -> Dataset:
    return replace(dataset, test=replace(dataset.test, hashes=hashes.astype(np.uint64)))


@pytest.mark.parametrize("count", [40, 5000])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 1.0])
def test_the_overlap_of_two_sets_is_told_by_their_sketches(
    share: float, count: int, dataset: Dataset
) -> None:
    draw = np.random.default_rng(0)
    both = draw.integers(2**63, size=int(share * count))
    one, other = (
        np.concatenate([both, draw.integers(2**63, size=count - len(both))]) for _ in range(2)
    )
    found = overlap(*(sketch(with_hashes(dataset, each)) for each in (one, other)))
    assert found == pytest.approx(len(both) / (2 * count - len(both)), abs=0.15)


def test_it_fits_a_tag_and_does_not_ask_for_the_size_of_the_images(dataset: Dataset) -> None:
    assert 100 < len(sketch(dataset)) < 2000
    assert sketch(load_dataset(DataConfig(image_size=32))) == sketch(dataset)


def test_a_version_that_says_nothing_has_nothing_in_common(dataset: Dataset) -> None:
    assert overlap("", sketch(dataset)) == 0
    assert overlap("", "") == 0
