"""What a search came to."""

from __future__ import annotations

from dataclasses import replace

from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.results import add_trial, results_of
from tests.helpers.studies import ledger_in_memory
from trainable.config.costs import cost_rows
from trainable.data.datasets import Dataset
from trainable.inference.calibration import NONE, Calibration
from tune.config.loading import load_config
from tune.reporting.results import SearchResults


def test_trials_are_compared_at_the_last_epoch_that_all_reached(dataset: Dataset) -> None:
    results = results_of(dataset, 9)
    assert {len(log.epochs) for log in results.comparable} == {1, 2, 6}
    assert results.common_epoch == 1


def test_a_trial_that_failed_does_not_shorten_the_comparison(dataset: Dataset) -> None:
    results = results_of(dataset, 1)
    add_trial(results.ledger, [0.1], TrialState.FAIL, "out of memory")
    assert results.common_epoch == 6
    assert [log.number for log in results.comparable] == [0]


def test_if_every_trial_failed_they_are_compared_with_each_other(dataset: Dataset) -> None:
    ledger = ledger_in_memory(load_config(DIGITS))
    add_trial(ledger, [0.1, 0.2], TrialState.FAIL, "out of memory")
    results = SearchResults("failed", ledger, dataset)
    assert results.common_epoch == 2


def test_the_first_error_is_told_and_a_trial_without_an_epoch_is_not_shown(
    dataset: Dataset,
) -> None:
    ledger = ledger_in_memory(load_config(DIGITS))
    add_trial(ledger, [0.5])
    add_trial(ledger, [], TrialState.FAIL, "out of memory")
    add_trial(ledger, [], TrialState.FAIL, "something else")
    results = SearchResults("failed", ledger, dataset)
    assert results.error == "out of memory"
    assert [log.number for log in results.trials] == [0]


def test_a_loss_is_told_to_be_of_the_model_without_its_temperature(dataset: Dataset) -> None:
    by_loss = replace(
        results_of(dataset, 3, "objective.metric=val_loss"), calibration=Calibration(1.5)
    )
    assert by_loss.how_tested("test loss") == "as it is served, but for its temperature"
    assert by_loss.how_tested("test accuracy") == "as it is served"
    assert replace(by_loss, calibration=NONE).how_tested("test loss") == "as it is served"
    assert by_loss.test_values["test loss"] == f"{by_loss.test.loss:.4g}"


def test_what_is_reported_beside_the_objective_is_tested_too(dataset: Dataset) -> None:
    words = ("objective.metric=val_balanced_acc", "objective.also=[val_auroc, val_cost]")
    costs = "objective.costs.3.8=20"
    results = replace(results_of(dataset, 3, *words, costs), calibration=Calibration(1.5))
    test = results.test
    assert test is not None
    rows = cost_rows((("3", "8", 20.0),), dataset.classes)
    assert results.test_values == {
        "test balanced accuracy": f"{test.balanced_accuracy:.2%}",
        "test AUROC": f"{test.auroc:.2%}",
        "test cost": f"{test.mean_cost(rows):.4g}",
        "test accuracy": f"{test.accuracy:.2%}",
    }
    assert list(results.test_intervals) == list(results.test_values)
    assert results.test_intervals["test cost"].startswith("95 % interval 0.0")
    # A temperature changes the order of images by a class's probability, and no label.
    served = {title: results.how_tested(title) for title in results.test_values}
    assert served.pop("test AUROC") == "as it is served, but for its temperature"
    assert set(served.values()) == {"as it is served"}
