"""The report's pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.helpers.results import results_of
from trainable.data.datasets import Dataset
from trainable.judging.predictions import Predictions
from tune.reporting import png
from tune.reporting.png import write_pictures


def test_before_the_test_there_are_pictures_of_the_trials_alone(
    dataset: Dataset, tmp_path: Path
) -> None:
    paths = write_pictures(replace(results_of(dataset, 4), test=None), tmp_path)
    assert [path.name for path in paths] == ["history.png", "learning_curves.png"]
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (800, 500)
            assert len(image.getcolors(2**20) or ()) > 10, "something is drawn"


def test_a_model_without_mistakes_has_a_picture_that_says_so(
    dataset: Dataset, tmp_path: Path
) -> None:
    labels = dataset.test.labels
    right = Predictions(torch.nn.functional.one_hot(labels, 10).float(), labels)
    figure = png._mistakes(replace(results_of(dataset, 1), test=right), right)
    assert figure.get_suptitle() == "No test image is misclassified."


@pytest.mark.parametrize(("metric", "quantity"), [("val_acc", "accuracy"), ("val_loss", "loss")])
def test_the_axes_are_those_of_the_objective(metric: str, quantity: str, dataset: Dataset) -> None:
    results = results_of(dataset, 4, f"objective.metric={metric}")
    history, curves = png._history(results).axes[0], png._learning_curves(results).axes[0]
    assert history.get_ylabel() == f"best validation {quantity}"
    assert curves.get_ylabel() == f"validation {quantity}"
    first = results.trials[0]
    assert curves.lines[0].get_ydata()[-1] == first.epochs[-1].metrics[metric]
    assert history.collections[0].get_offsets()[0][1] == pytest.approx(first.score)
