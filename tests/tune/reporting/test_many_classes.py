"""A report of a thousand classes: small, and it still says what was taken for what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser

from tests.helpers.pages import LAPTOP, opened
from tests.helpers.results import dataset_of, results_of
from trainable.judging.predictions import Predictions
from tune.reporting.confusion import confusion_of, most_confused
from tune.reporting.files import write_report
from tune.reporting.png import write_pictures
from tune.reporting.predictions import confused_pairs, confusion, per_class
from tune.reporting.results import SearchResults

NAMES = [f"class {number:04d}" for number in range(1000)]


@pytest.fixture(scope="module")
def results() -> SearchResults:
    """Pictures as large as those that a network of 224 pixels sees."""
    return results_of(dataset_of(NAMES, images=1, side=256), 40)


@pytest.mark.slow
def test_its_page_is_small_and_shows_every_figure(
    results: SearchResults, tmp_path: Path, browser: Browser
) -> None:
    path, *_ = write_report(results, tmp_path)
    assert path.stat().st_size < 8_000_000
    view, wrong = opened(browser, path, LAPTOP)
    assert wrong == []
    headings = view.locator("figure h2").all_inner_texts()
    assert headings[-4:] == ["Confusion", "Most confused", "Precision and recall", "Calibration"]
    text = view.locator("main").inner_text()
    assert "predicted class by column, 20 classes each, in their order." in text
    assert "of the 50 of 1,000 classes with the lowest F1." in text


@pytest.mark.slow
def test_its_pictures_are_no_larger_than_a_screen_or_two(
    results: SearchResults, tmp_path: Path
) -> None:
    for path in write_pictures(results, tmp_path):
        with Image.open(path) as picture:
            assert max(picture.size) <= 4000, path.name
        assert path.stat().st_size < 2_000_000, path.name


def test_classes_that_follow_each_other_are_counted_together() -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(101, (5000,), generator=draw)
    test = Predictions(torch.randn(5000, 101, generator=draw), labels)
    found, counts = confusion_of(NAMES[:101], test), test.confusion()
    assert found.counts.shape == (34, 34)
    assert found.counts[1, 2] == counts[3:6, 6:9].sum()
    assert found.counts[33, 0] == counts[99:, :3].sum()
    assert found.counts.sum() == 5000
    assert (found.labels[0], found.labels[-1]) == (
        "class 0000 – class 0002",
        "class 0099 – class 0100",
    )


def test_a_hundred_classes_have_a_row_each() -> None:
    labels = torch.arange(100)
    test = Predictions(torch.eye(100), labels)
    matrix = confusion(NAMES[:100], test).data[0]
    assert matrix.z.shape == (100, 100)
    assert matrix.text is None
    assert confused_pairs(NAMES[:100], test) is None, "nothing was confused"


def test_the_pairs_that_were_confused_most_come_first() -> None:
    labels = torch.tensor([0] * 10 + [1] * 4 + [2] * 4)
    answers = torch.tensor([0] * 7 + [1] * 3 + [1] * 2 + [2] * 2 + [2] * 3 + [0])
    test = Predictions(torch.nn.functional.one_hot(answers, 3).float(), labels)
    pairs = [(pair.truth, pair.answer, pair.images, pair.share) for pair in most_confused(test)]
    assert pairs == [(0, 1, 3, 0.3), (1, 2, 2, 0.5), (2, 0, 1, 0.25)]
    assert len(most_confused(test, 1)) == 1


def test_of_many_classes_the_weakest_are_shown(results: SearchResults) -> None:
    assert results.test is not None
    precision, recall, _ = per_class(NAMES, results.test).data
    assert len(precision.x) == 50
    assert set(NAMES[:7]) <= set(precision.x), "the misclassified ones"
    assert np.mean(recall.y) < 1
