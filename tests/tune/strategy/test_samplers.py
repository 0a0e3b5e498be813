from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.plugins import use_plugin
from tests.helpers.studies import ledger_in_memory, ledger_of, reported
from tune.config.loading import load_config
from tune.config.registries import SAMPLERS
from tune.config.schema import SearchConfig
from tune.config.sections import SamplerConfig
from tune.strategy.samplers import RepeatableSampler, search_sampler
from tune.study.distributions import distributions
from tune.study.ledger import Ledger
from tune.study.trial import Decision

ALL = ("tpe", "random", "joint_tpe", "gp")


def proposals(config: SearchConfig, url: str, *, again: bool) -> list[dict[str, Any]]:
    """What is proposed one after the other; `again` by another process each time."""
    ledger = ledger_of(config, url)
    return run(ledger, (lambda: ledger_of(config, url)) if again else None)


def made_in_memory(config: SearchConfig) -> list[dict[str, Any]]:
    """The same by one process that writes nothing."""
    return run(ledger_in_memory(config))


def run(ledger: Ledger, reopen: Callable[[], Ledger] | None = None) -> list[dict[str, Any]]:
    """What is proposed for nine trials, the better the nearer to depth 3."""
    made = []
    for number in range(9):
        ledger = ledger if reopen is None else reopen()
        log = ledger.begin()
        made.append(log.params)
        score = 1 - abs(log.params["model.unfreeze_depth"] - 3) / 10
        ledger.add_epoch(number, 1, reported(score), Decision.GO_ON)
        ledger.end(number, TrialState.COMPLETE)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_proposes_the_same_trials_whatever_was_drawn_before(
    name: str, tmp_path: Path
) -> None:
    config = load_config(DIGITS, [f"sampler.name={name}", "sampler.startup_trials=3"])
    first = proposals(config, f"sqlite:///{tmp_path / 'first.db'}", again=False)
    assert first == proposals(config, f"sqlite:///{tmp_path / 'second.db'}", again=True)
    assert len({str(params) for params in first}) == 9


@pytest.mark.parametrize("name", ALL)
def test_another_seed_proposes_other_trials(name: str) -> None:
    def proposal(seed: int) -> dict[str, Any]:
        config = load_config(DIGITS, [f"sampler.name={name}", f"sampler.seed={seed}"])
        study = optuna.create_study(sampler=RepeatableSampler(config.sampler))
        return study.ask(distributions(config.space)).params

    assert proposal(0) != proposal(1)


def test_tpe_learns_where_it_is_good() -> None:
    config = load_config(DIGITS, ["sampler.startup_trials=8"])
    study = optuna.create_study(direction="maximize", sampler=RepeatableSampler(config.sampler))
    for _ in range(40):
        trial = study.ask(distributions(config.space))
        study.tell(trial, -abs(trial.params["model.unfreeze_depth"] - 4))
    late = [trial.params["model.unfreeze_depth"] for trial in study.trials[20:]]
    assert late.count(4) > 7  # by chance it would be 3


@pytest.mark.parametrize(("name", "joint"), [("tpe", False), ("joint_tpe", True), ("gp", True)])
def test_a_joint_sampler_is_asked_for_all_keys_at_once(
    name: str, joint: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(DIGITS, [f"sampler.name={name}", "sampler.startup_trials=3"])
    url, keys = f"sqlite:///{tmp_path / 'optuna.db'}", list[set[str]]()
    real = RepeatableSampler.sample_relative

    def spy(self: Any, study: Any, trial: Any, space: Any) -> Any:
        found = real(self, study, trial, space)
        keys.append(set(found))
        return found

    monkeypatch.setattr(RepeatableSampler, "sample_relative", spy)
    proposals(config, url, again=False)
    assert keys[-1] == (set(config.space) if joint else set())


@pytest.mark.parametrize("name", ["joint_tpe", "gp"])
def test_a_sampler_is_made_anew_only_to_draw(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = SAMPLERS[name], list[int]()

    def make(config: SamplerConfig, seed: int) -> BaseSampler:
        made.append(seed)
        return real.make(config, seed)

    monkeypatch.setitem(SAMPLERS._things, name, real._replace(make=make))
    config = load_config(DIGITS, [f"sampler.name={name}", "sampler.startup_trials=1"])
    study = optuna.create_study(direction="maximize", sampler=search_sampler(config))
    for number in range(4):
        made.clear()
        study.tell(study.ask(distributions(config.space)), number)
    assert len(made) == 1  # all keys together, at once


def test_another_sampler_needs_one_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seam: listed in `TUNE_PLUGINS`, named in a config, and exact over a resume."""
    use_plugin("tests.helpers.plugins.always_two", monkeypatch)
    config = load_config(DIGITS, ["sampler.name=always_two"])
    made = proposals(config, f"sqlite:///{tmp_path / 'one.db'}", again=True)
    assert {params["model.unfreeze_depth"] for params in made[1:]} == {2}
    assert made == proposals(config, f"sqlite:///{tmp_path / 'two.db'}", again=False)
    assert len({params["optim.lr"] for params in made}) == 9


CONDITIONAL = (
    "space.optim.layer_decay={low: 0.5, high: 1, when: {model.unfreeze_depth: {ge: 3}}}",
    "space.augment.mixup={low: 0, high: 1, when: {optim.layer_decay: {lt: 0.8}}}",
)


@pytest.mark.parametrize("name", ALL)
def test_keys_with_conditions_are_proposed_where_these_hold(name: str) -> None:
    words = [f"sampler.name={name}", "sampler.startup_trials=3"]
    first = made_in_memory(load_config(DIGITS, [*words, *CONDITIONAL]))
    for params in first:
        decay = params.get("optim.layer_decay")
        assert (decay is not None) == (params["model.unfreeze_depth"] >= 3)
        assert ("augment.mixup" in params) == (decay is not None and decay < 0.8)
    assert {len(params) for params in first} >= {4, 5}


def test_with_conditions_too_a_proposal_is_a_function_of_the_study(tmp_path: Path) -> None:
    words = ["sampler.name=joint_tpe", "sampler.startup_trials=3", "sampler.points=[{}]"]
    config = load_config(DIGITS, [*words, *CONDITIONAL])
    again = proposals(config, f"sqlite:///{tmp_path / 'one.db'}", again=True)
    assert again == made_in_memory(config)


def test_joint_tpe_proposes_keys_together_that_some_trials_do_not_have() -> None:
    words = ["sampler.name=joint_tpe", "sampler.startup_trials=3"]
    config = load_config(DIGITS, [*words, CONDITIONAL[0]])
    ledger = ledger_in_memory(config)
    run(ledger)
    sampler = RepeatableSampler(config.sampler)
    trial = ledger.study.ask()._cached_frozen_trial
    together = sampler.infer_relative_search_space(ledger.study, trial)
    assert together.keys() == config.space.keys()
    assert sampler.sample_relative(ledger.study, trial, together).keys() == config.space.keys()


def test_without_conditions_joint_tpe_is_the_multivariate_tpe(tmp_path: Path) -> None:
    """As searches before conditions had it."""
    config = load_config(DIGITS, ["sampler.name=joint_tpe", "sampler.startup_trials=3"])
    found = []
    for group in (True, False):
        with warnings.catch_warnings(action="ignore"):
            sampler = TPESampler(seed=1, n_startup_trials=3, multivariate=True, group=group)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for _ in range(12):
            trial = study.ask(distributions(config.space))
            study.tell(trial, trial.params["optim.lr"])
        found.append([trial.params for trial in study.trials])
    assert found[0] == found[1]


def test_an_unknown_sampler_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"sampler\.name=tep: must be one of .*nearest: tpe"):
        load_config(DIGITS, ["sampler.name=tep"])
    assert set(ALL) <= set(SAMPLERS)
