"""The figures of a search's trials."""

from __future__ import annotations

import numpy as np
import pytest
from optuna import create_study
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import Trial

from tests.helpers.results import results_of
from trainable.data.datasets import Dataset
from tune.reporting.figures import comparable_study, contours, gap, history, learning_curves


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
    assert figure.layout.yaxis.tickformat == ".0%"


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
    assert figure.layout.xaxis.tickformat == figure.layout.yaxis.tickformat == ".0%"


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
