"""When runs of a finalist are said to disagree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.commands import DIGITS
from tests.helpers.results import add_trial
from tests.helpers.studies import ledger_in_memory
from trainable.judging.objective import Objective
from tune.config.loading import load_config
from tune.strategy.agreement import ALPHA, differ, disagreement
from tune.strategy.confirmation import Finalist


def finalist(*scores: float, folds: bool = False) -> Finalist:
    ledger = ledger_in_memory(load_config(DIGITS))
    for score in (0.9, *scores):
        add_trial(ledger, [score])
    winner, *runs = ledger.trials.values()
    if folds:
        names = [f"{number}/5" for number in range(1, 6)]
        runs = [
            replace(run, params={**run.params, "data.fold": name})
            for run, name in zip(runs, names, strict=False)
        ]
    return Finalist(winner, runs)


@pytest.mark.parametrize(
    ("shares", "images", "expected"),
    [
        ([0.65, 0.84], 100, True),
        ([0.65, 0.84], 49, True),
        ([0.65, 0.84], 30, False),
        ([0.9933, 0.9966], 298, False),
        ([0.9, 0.9], 298, False),
        ([1.0, 1.0], 298, False),
        ([1.0, 0.0], 1, False),
        ([0.5], 100, False),
        ([0.8, 0.8, 0.8, 0.6], 100, True),
        ([0.8, 0.77, 0.82, 0.75], 100, False),
    ],
)
def test_runs_differ_where_chance_on_so_many_images_does_not_explain_it(
    shares: list[float], images: int, expected: bool
) -> None:
    assert differ(shares, images) is expected


@pytest.mark.parametrize(("right", "images", "runs"), [(0.7, 50, 2), (0.9, 300, 3), (0.98, 200, 5)])
def test_runs_that_are_equally_good_rarely_differ(right: float, images: int, runs: int) -> None:
    draw = np.random.default_rng(0)
    found = [differ(draw.binomial(images, right, runs) / images, images) for _ in range(2000)]
    assert 0.01 < np.mean(found) < 1.4 * ALPHA


@pytest.mark.parametrize(("own", "shared"), [(0.1, 0.25), (0.02, 0.1)])
def test_runs_that_err_on_the_same_images_differ_by_chance_more_rarely(
    own: float, shared: float
) -> None:
    draw, images, found = np.random.default_rng(0), 300, []
    for _ in range(500):
        hard = draw.random(images) < shared
        wrong = hard | (draw.random((2, images)) < own)
        found.append(differ((1 - wrong.mean(1)).tolist(), images))
    assert np.mean(found) < ALPHA


def test_seeds_that_disagree_are_said_with_their_accuracies() -> None:
    assert disagreement(finalist(0.84, 0.65), trained=400, validated=100) == (
        "Seeds disagree (65.00% and 84.00%), by more than chance on 100 images explains: more "
        "validation images or folds would help"
    )
    assert disagreement(finalist(0.84, 0.83), trained=400, validated=100) == ""
    assert disagreement(finalist(), trained=400, validated=100) == ""


def test_folds_are_judged_by_their_own_images() -> None:
    scores = (0.84, 0.65, 0.7, 0.9, 0.6)
    assert disagreement(finalist(*scores, folds=True), trained=400, validated=100) == (
        "Folds disagree (60.00% to 90.00%), by more than chance on 100 images explains: more "
        "images would help"
    )


def test_by_another_objective_it_is_said_that_accuracies_differ() -> None:
    found = finalist(0.84, 0.65)
    objective = Objective.named("val_loss")
    other = replace(found, trial=replace(found.trial, objective=objective))
    assert disagreement(other, trained=400, validated=100).startswith(
        "Seeds disagree in accuracy (65.00% and 84.00%), by more than chance"
    )
