"""Failed trials teach the sampler to keep away."""

from __future__ import annotations

import math

import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory, reported
from tune.config.loading import load_config
from tune.strategy.failures import Taught
from tune.study.trial import Decision

DIVERGED = "DivergedError: epoch 1: train_loss=nan, val_loss=nan"


def rates(name: str, error: str) -> list[float]:
    """The learning rates that are proposed where those above 1e-3 fail, and others are equal."""
    words = [f"sampler.name={name}", "sampler.startup_trials=4", "budget.num_samples=24"]
    config = load_config(
        DIGITS, [*words, "model.unfreeze_depth=1", "optim.weight_decay=0", "augment.policy=none"]
    )
    ledger, found = ledger_in_memory(config), []
    while ledger.has_more():
        log = ledger.begin()
        found.append(log.params["optim.lr"])
        if found[-1] > 1e-3:
            ledger.end(log.number, TrialState.FAIL, error)
            continue
        # The nearer to what fails, the better: without the failures, it would be drawn there.
        ledger.add_epoch(log.number, 1, reported(0.5 + found[-1]), Decision.GO_ON)
        ledger.end(log.number, TrialState.COMPLETE)
    return found[12:]


@pytest.mark.parametrize("name", ["tpe", "joint_tpe", pytest.param("gp", marks=pytest.mark.slow)])
def test_a_sampler_keeps_away_from_where_trials_fail_by_their_own_fault(name: str) -> None:
    own = sum(rate > 1e-3 for rate in rates(name, DIVERGED))
    of_machine = sum(rate > 1e-3 for rate in rates(name, "its worker died: killed"))
    assert own < of_machine


@pytest.fixture
def study() -> Study:
    """A complete, a stopped, a diverged and a killed trial."""
    study = optuna.create_study(direction="maximize")
    for value in (0.9, 0.4):
        study.tell(study.ask(), value)
    stopped = study.ask()
    stopped.report(0.2, 1)
    study.tell(stopped, state=TrialState.PRUNED)
    for error in (DIVERGED, "OutOfMemoryError: even", "its worker died: killed"):
        failed = study.ask()
        failed.set_user_attr("error", error)
        study.tell(failed, state=TrialState.FAIL)
    return study


def test_to_a_sampler_that_learns_from_stopped_trials_they_were_stopped_first(
    study: Study,
) -> None:
    seen = Taught(study, reads_pruned=True)
    states = [trial.state.name for trial in seen.get_trials()]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED", "PRUNED", "FAIL"]
    assert [trial.number for trial in seen.get_trials(states=(TrialState.PRUNED,))] == [2, 3, 4]
    assert optuna.samplers._tpe.sampler._get_pruned_trial_score(seen.trials[3], seen) > (
        0,
        math.inf,
    )


def test_to_one_that_does_not_they_have_the_worst_value(study: Study) -> None:
    seen = Taught(study, reads_pruned=False)
    assert [trial.value for trial in seen.trials[3:]] == [0.2, 0.2, None]
    nothing = optuna.create_study(direction="maximize")
    failed = nothing.ask()
    failed.set_user_attr("error", DIVERGED)
    nothing.tell(failed, state=TrialState.FAIL)
    assert Taught(nothing, reads_pruned=False).trials[0].state is TrialState.FAIL


def test_the_study_itself_keeps_them_as_failed(study: Study) -> None:
    for reads_pruned in (True, False):
        assert Taught(study, reads_pruned=reads_pruned).trials
    failed = study.get_trials(states=(TrialState.FAIL,))
    assert [trial.value for trial in failed] == [None] * 3
    assert len(study.get_trials(states=(TrialState.PRUNED,))) == 1
