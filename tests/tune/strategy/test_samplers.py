from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.strategy.samplers import RepeatableSampler
from tune.study.distributions import distributions
from tune.study.ledger import open_ledger


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_the_same_seed_proposes_the_same_trials_whatever_was_drawn_before(
    name: str, tmp_path: Path
) -> None:
    config = load_config(DIGITS, [f"sampler.name={name}", "sampler.startup_trials=3"])

    def proposals(file: str, *, again: bool) -> list[dict[str, Any]]:
        url = f"sqlite:///{tmp_path / file}"
        ledger, made = open_ledger(config, "test", "identity", url), []
        for number in range(10):
            if again:  # another process goes on
                ledger = open_ledger(config, "test", "identity", url)
            made.append(ledger.begin().params)
            ledger.end(number, TrialState.PRUNED)
        return made

    first = proposals("first.db", again=False)
    assert first == proposals("second.db", again=True)
    assert len({str(params) for params in first}) == 10


def test_another_seed_proposes_other_trials() -> None:
    def proposal(seed: int) -> dict[str, Any]:
        config = load_config(DIGITS, [f"sampler.seed={seed}"])
        study = optuna.create_study(sampler=RepeatableSampler(config.sampler))
        return study.ask(distributions(config)).params

    assert proposal(0) != proposal(1)


def test_tpe_learns_where_it_is_good(tmp_path: Path) -> None:
    config: SearchConfig = load_config(DIGITS, ["sampler.startup_trials=8"])
    study = optuna.create_study(direction="maximize", sampler=RepeatableSampler(config.sampler))
    for _ in range(40):
        trial = study.ask(distributions(config))
        study.tell(trial, -abs(trial.params["model.unfreeze_depth"] - 4))
    late = [trial.params["model.unfreeze_depth"] for trial in study.trials[20:]]
    assert late.count(4) > 7  # by chance it would be 3
