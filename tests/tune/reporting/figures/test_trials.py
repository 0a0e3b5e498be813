"""The figures of a search's trials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from optuna import create_study
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import Trial

from tests.helpers.results import results_of
from trainable.data.datasets import Dataset
from trainable.judging.metrics import validation_metric
from trainable.judging.objective import Objective
from trainable.registries import METRICS
from tune.reporting.figures.keys import parallel_coordinates, slices
from tune.reporting.figures.trials import (
    comparable_study,
    contours,
    gap,
    history,
    importances,
    learning_curves,
)


def test_each_trial_has_its_value_of_the_same_epoch(dataset: Dataset) -> None:
    results = results_of(dataset, 9)
    study = comparable_study(results)
    assert study.direction is StudyDirection.MAXIMIZE
    firsts = [log.epochs[0].metrics["val_acc"] for log in results.trials]
    assert [trial.value for trial in study.trials] == firsts


def test_the_history_has_every_trials_best_and_the_best_so_far(dataset: Dataset) -> None:
    figure = history(results_of(dataset, 9))
    *states, best = figure.data
    assert [len(trace.x) for trace in states] == [3, 6, 0]
    assert best.x == (0, 3, 6)
    assert list(best.y) == np.maximum.accumulate(states[0].y).tolist()
    assert figure.layout.yaxis.title.text == "best validation accuracy"
    assert figure.layout.yaxis.tickformat == ".2~%"


def test_where_the_loss_is_minimized_the_figures_are_of_it(dataset: Dataset) -> None:
    results = results_of(dataset, 9, "objective.metric=val_loss")
    study = comparable_study(results)
    assert study.direction is StudyDirection.MINIMIZE
    firsts = [log.epochs[0].metrics["val_loss"] for log in results.trials]
    assert [trial.value for trial in study.trials] == firsts

    *states, best = history(results).data
    assert list(best.y) == np.minimum.accumulate(states[0].y).tolist()
    assert best.y[0] == results.trials[0].epochs[-1].metrics["val_loss"]
    axis = history(results).layout.yaxis
    assert (axis.title.text, axis.tickformat) == ("best validation loss", None)

    curves = learning_curves(results.trials, results.objective)
    assert curves.data[1].y == (firsts[1],)
    assert curves.layout.yaxis.title.text == "validation loss"

    losses = gap(results)
    assert losses is not None
    assert losses.data[0].x == losses.data[0].y == states[0].y
    assert losses.data[-1].x[1] == max(log.score or 0 for log in results.trials)
    assert losses.layout.xaxis.title.text == "training loss"


@pytest.fixture
def half_right() -> Iterator[str]:
    """The name of a metric of which nothing is known on the training images."""
    add = validation_metric("val_half", "half", "maximize", is_share=True)
    add(lambda predictions: predictions.accuracy / 2)
    yield "val_half"
    METRICS._things.pop("val_half")


def test_of_a_metric_without_a_training_value_no_gap_is_drawn(
    half_right: str, dataset: Dataset
) -> None:
    results = results_of(dataset, 3)
    ledger = results.ledger
    ledger.objective = Objective.named(half_right)
    for log in ledger.trials.values():
        log.objective = ledger.objective
        for epoch in log.epochs:
            epoch.metrics[half_right] = epoch.metrics["val_acc"] / 2
    assert gap(results) is None
    curves = learning_curves(results.trials, results.objective)
    assert curves.layout.yaxis.title.text == "validation half"
    assert curves.layout.yaxis.tickformat == ".2~%"


def test_the_curves_are_of_every_epoch(dataset: Dataset) -> None:
    results = results_of(dataset, 3)
    figure = learning_curves(results.trials, results.objective)
    assert [len(trace.y) for trace in figure.data] == [6, 1, 2]
    assert figure.data[1].y == (results.trials[1].epochs[0].metrics["val_acc"],)


def test_the_gap_is_shown_from_none_to_all(dataset: Dataset) -> None:
    figure = gap(results_of(dataset, 3))
    assert figure is not None
    assert (figure.data[-1].x, figure.data[-1].y) == ((0, 1), (0, 1))
    assert figure.layout.xaxis.title.text == "training accuracy"
    assert figure.layout.xaxis.tickformat == figure.layout.yaxis.tickformat == ".2~%"


def test_the_contours_of_many_trials_are_filled_between_them_and_nowhere_else() -> None:
    study = create_study(direction="maximize", sampler=RandomSampler(seed=0))

    def rises(trial: Trial) -> float:
        rate = trial.suggest_float("optim.lr", 1e-4, 1e-2, log=True)
        return np.log10(rate) + trial.suggest_float("augment.mixup", 0, 1)

    study.optimize(rises, 200)
    figure = contours(study, "score")
    assert figure is not None
    surface = figure.data[0]
    log, mixup = (
        ("x", "y") if figure.layout.xaxis.type == "log" else ("y", "x")  # whichever mattered more
    )
    grid = {"x": surface.x[None, :], "y": surface.y[:, None]}
    expected = np.log10(grid[log]) + grid[mixup]
    inside = np.isfinite(surface.z)
    assert 0.5 < inside.mean() < 1
    assert np.abs(surface.z - expected)[inside].max() < 1e-9
    assert not inside[0, 0]


@pytest.mark.parametrize(("count", "shown"), [(3, False), (4, True)])
def test_of_too_few_trials_no_contours_are_drawn(count: int, shown: bool, dataset: Dataset) -> None:
    study = comparable_study(results_of(dataset, count))
    assert (contours(study, "score") is not None) is shown


CONDITIONAL = (
    "space.optim.layer_decay={values: [0.65, 0.8], when: {model.unfreeze_depth: {ge: 3}}}",
    "space.augment.mixup={low: 0, high: 1, when: {optim.layer_decay: 0.8}}",
)


@pytest.mark.parametrize("figure", [importances, parallel_coordinates, slices, contours])
def test_keys_that_some_trials_do_not_have_are_drawn(figure: Any, dataset: Dataset) -> None:
    study = comparable_study(results_of(dataset, 24, *CONDITIONAL))
    assert len({len(trial.params) for trial in study.trials}) == 3
    drawn = figure(study, "validation accuracy")
    if figure is not contours:
        assert "optim.layer_decay" in drawn.to_json().replace(".\\u003cbr\\u003e", ".")


@pytest.mark.parametrize("count", [4, 5, 6])
def test_a_key_that_hardly_any_trial_has_or_lacks_is_not_weighed(
    count: int, dataset: Dataset
) -> None:
    """Optuna would warn, and a report prints no warning."""
    when = "{values: [0.65, 0.8], when: {model.unfreeze_depth: {ge: %d}}}"
    for depth in range(1, 6):
        words = f"space.optim.layer_decay={when % depth}"
        study = comparable_study(results_of(dataset, count, words))
        having = sum("optim.layer_decay" in trial.params for trial in study.trials)
        drawn = importances(study, "x")
        contours(study, "x")
        assert drawn is not None
        shown = "optim.layer_decay" in drawn.to_json()
        assert shown == (2 <= having <= count - 2 or having == count)
