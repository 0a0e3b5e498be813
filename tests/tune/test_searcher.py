from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.study import Study
from optuna.trial import TrialState

from tests.tune.conftest import DIGITS
from trainable.config import TrialConfig
from tune.config import SearchConfig
from tune.loading import load_config
from tune.searcher import StudySearcher, create_study


@pytest.fixture(scope="module")
def config() -> SearchConfig:
    return load_config(DIGITS, ["resources.cpu=2"])


@pytest.fixture
def study(config: SearchConfig, tmp_path: Path) -> Study:
    return create_study(config, "test", f"sqlite:///{tmp_path / 'optuna.db'}")


@pytest.fixture
def searcher(study: Study, config: SearchConfig) -> StudySearcher:
    return StudySearcher(study, config, Path("home"), memory_fraction=0.25)


def epoch(number: int, accuracy: float, *, finished: bool = False) -> dict[str, Any]:
    return {"epoch": number, "val_acc": accuracy, "finished": finished}


def test_the_first_suggestion_is_the_trial_the_search_starts_from(
    searcher: StudySearcher, config: SearchConfig
) -> None:
    suggestion = searcher.suggest("a")
    assert TrialConfig.model_validate(suggestion["trial"]) == config.base
    assert suggestion["number"] == 0
    assert (suggestion["threads"], suggestion["memory_fraction"]) == (2, 0.25)


def test_a_trial_that_ended_itself_is_complete_with_its_best_value(
    searcher: StudySearcher, study: Study
) -> None:
    searcher.suggest("a")
    searcher.on_trial_result("a", epoch(1, 0.5))
    searcher.on_trial_result("a", epoch(2, 0.9))
    searcher.on_trial_complete("a", epoch(3, 0.8, finished=True))
    (trial,) = study.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.9)
    assert trial.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.8}
    assert trial.user_attrs["ray_trial_id"] == "a"


def test_a_stopped_trial_is_pruned_with_its_last_value(
    searcher: StudySearcher, study: Study
) -> None:
    searcher.suggest("a")
    searcher.on_trial_result("a", epoch(1, 0.5))
    searcher.on_trial_complete("a", epoch(2, 0.3))
    (trial,) = study.trials
    assert (trial.state, trial.value) == (TrialState.PRUNED, 0.3)


@pytest.mark.parametrize("reached", [0, 2])
def test_a_broken_trial_has_no_value(searcher: StudySearcher, study: Study, reached: int) -> None:
    searcher.suggest("a")
    for number in range(reached):
        searcher.on_trial_result("a", epoch(number + 1, 0.5))
    searcher.on_trial_complete("a", None, error=True)
    (trial,) = study.trials
    assert (trial.state, trial.value) == (TrialState.FAIL, None)


def test_a_trial_left_open_by_an_interruption_fails(searcher: StudySearcher, study: Study) -> None:
    searcher.suggest("a")
    searcher.on_trial_result("a", epoch(1, 0.5))
    searcher.close()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_the_same_seed_proposes_the_same_trials(config: SearchConfig, tmp_path: Path) -> None:
    def proposals(name: str) -> list[Any]:
        study = create_study(config, name, f"sqlite:///{tmp_path / name}.db")
        searcher = StudySearcher(study, config, tmp_path)
        made = []
        for number in range(10):
            made.append(searcher.suggest(str(number))["trial"])
            searcher.on_trial_complete(str(number), epoch(1, number / 10, finished=True))
        return made

    first = proposals("first")
    assert first == proposals("second")
    assert len({str(trial) for trial in first}) == 10
