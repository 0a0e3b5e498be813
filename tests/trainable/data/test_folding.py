from __future__ import annotations

import numpy as np
import pytest
import torch

from trainable.base.folds import ALL, Fold
from trainable.config import DataConfig
from trainable.data.datasets import Dataset, Split, load_dataset
from trainable.data.splitting.folding import fold_of

FOLDS = [f"{number}/5" for number in range(1, 6)]


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(DataConfig(image_size=16, limit=300))


def together(dataset: Dataset) -> list[int]:
    return sorted([*dataset.train.hashes.tolist(), *dataset.val.hashes.tolist()])


def test_every_image_is_validated_on_once_and_the_test_images_never(digits: Dataset) -> None:
    folds = [digits.folded(name) for name in FOLDS]
    validated = [value for fold in folds for value in fold.val.hashes.tolist()]
    assert sorted(validated) == together(digits)
    for fold in folds:
        assert together(fold) == together(digits)
        assert torch.equal(fold.test.images, digits.test.images)
        assert not set(fold.val.hashes) & set(fold.train.hashes)


def test_each_fold_has_its_share_of_every_class(digits: Dataset) -> None:
    whole = np.bincount(torch.cat([digits.train.labels, digits.val.labels]).numpy())
    for name in FOLDS:
        count = np.bincount(digits.folded(name).val.labels.numpy(), minlength=len(whole))
        assert (abs(count - whole / 5) <= 1).all()


def grouped(count: int = 60, size: int = 3) -> Dataset:
    """Images of which so many each are duplicates, half of them in either split."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 8, 8), generator=draws, dtype=torch.uint8)
    numbers = np.arange(count, dtype=np.uint64)
    labels = torch.from_numpy(np.arange(count) // size % 2)
    every = Split(images, labels, (), numbers, numbers // size, np.zeros(count, np.uint64))
    first, second = np.arange(0, count, 2), np.arange(1, count, 2)
    return Dataset(every.at(first), every.at(second), every.at(first[:4]), ("a", "b"), "a")


def test_duplicates_are_in_one_fold() -> None:
    dataset = grouped()
    for name in FOLDS:
        fold = dataset.folded(name)
        assert len(fold.val) > 0
        assert not set(fold.val.groups) & set(fold.train.groups)


def test_a_fold_is_the_same_whenever_it_is_asked_for_and_another_division_is_not() -> None:
    dataset = grouped()
    first, again, second = (dataset.folded(name) for name in ("2/5", "2/5", "2/5r2"))
    assert first.fingerprint == again.fingerprint
    assert np.array_equal(first.val.hashes, again.val.hashes)
    assert len({first.fingerprint, second.fingerprint, dataset.fingerprint}) == 3
    assert set(first.val.hashes) != set(second.val.hashes)


def test_all_images_are_trained_on_and_the_validation_images_stay(digits: Dataset) -> None:
    whole = digits.folded(ALL)
    assert sorted(whole.train.hashes.tolist()) == together(digits)
    assert np.array_equal(whole.val.hashes, digits.val.hashes)


def test_a_class_of_one_image_and_its_copies_makes_no_folds() -> None:
    dataset = grouped(count=6)
    with pytest.raises(ValueError, match=r"data\.fold=1/5: class a has a single image .*folds=0"):
        dataset.folded("1/5")


def test_more_folds_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.fold=1/20: 4 images .* too few"):
        grouped(count=12).folded("1/20")


@pytest.mark.parametrize("name", ["2/5", "5/5", "1/2", "3/5r12", ALL])
def test_the_name_of_a_fold(name: str) -> None:
    assert DataConfig(fold=name).fold == name


@pytest.mark.parametrize("name", ["0/5", "6/5", "1/1", "1/21", "2", "2/5r0", "2/5r1 ", "two/5", ""])
def test_what_is_no_fold(name: str) -> None:
    with pytest.raises(ValueError, match="must be all, or a fold such as 2/5"):
        DataConfig(fold=name)


def test_folds_of_further_divisions() -> None:
    assert [str(fold) for fold in Fold.first(7, 5)] == [*FOLDS, "1/5r2", "2/5r2"]


def test_the_whole_data_is_read_once_for_all_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    load_dataset.cache_clear()
    read = []
    monkeypatch.setattr("trainable.data.datasets._load", lambda *_: read.append(1) or grouped())
    for name in ("1/5", "2/5", None, "all"):
        load_dataset(DataConfig(fold=name))
    assert read == [1]
    load_dataset.cache_clear()


@pytest.mark.filterwarnings("error")
def test_a_class_of_fewer_images_than_folds_is_divided_without_a_warning() -> None:
    labels = np.array([0] * 20 + [1] * 20 + [2] * 3)
    train, val = fold_of("1/5", labels, np.arange(43, dtype=np.uint64), 10, ["a", "b", "c"])
    assert sorted([*train, *val]) == list(range(43))
