"""What a search came to."""

from __future__ import annotations

from dataclasses import replace

from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.results import add_trial, results_of
from tests.helpers.studies import ledger_in_memory
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
