"""Mistakes in Python, told before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tune
from tests.helpers.searches import FinishedSearch
from tune.config.loading import load_config
from tune.config.space import Choices, Range
from tune.library.runs import _words


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"optim": {"lrr": 3}}, "optim.lrr=3: no such key; nearest: optim.lr (keyword)"),
        ({"optimm": {"lr": 3}}, "optimm={'lr': 3}: no such key; nearest: optim (keyword)"),
        ({"num_samples": "x"}, "budget.num_samples=x: "),
        ({"time_budget": "soon"}, "budget.time=soon: "),
        ({"optim": {"lr": object}}, "a type is no value of a config (keyword)"),
        ({"data": {"source": "image_folder", "root": Path("none")}}, "data.root=none: no such f"),
        ({"search_name": "../x"}, "letters, digits"),
        ({"config": "digitss"}, "digitss"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    sections: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(tune.ConfigError) as error:
        tune.run(**sections)
    assert told in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_search_is_told_with_those_there_are() -> None:
    with pytest.raises(tune.ConfigError, match="no search was started in this folder"):
        tune.resume("first")
    assert tune.searches() == []


def test_keywords_mean_what_the_words_of_a_command_mean() -> None:
    words = _words(
        {
            "name": "photos",
            "data": {"root": Path("photos"), "image_size": np.int64(64)},
            "optim": {"lr": np.float32(0.5)},
            "space": {
                "train": {"batch_size": (32, 64)},
                "optim.weight_decay": {"low": 0, "high": 1},
            },
        }
    )
    config = load_config(None, [*words, "data.source=image_folder"])
    assert (config.name, config.data.root, config.data.image_size) == ("photos", Path("photos"), 64)
    assert config.optim.lr == 0.5
    assert "optim.lr" not in config.space  # it is set, so it is searched no longer
    assert config.space["train.batch_size"] == Choices(choices=(32, 64))
    assert config.space["optim.weight_decay"] == Range(low=0, high=1)


def test_a_finished_search_is_read_without_running_anything(
    finished_search: FinishedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished_search.folder)
    (entry,) = tune.searches()
    assert (entry.name, entry.state) == ("first", "finished")
    result = tune.resume("first")
    assert result.model_name == "models:/resnet18-digits/1"
    assert len(result.trials) == 5
    assert set(result.trials["state"]) <= {"complete", "pruned"}
    best = result.trials["val_acc"][result.trials["state"] == "complete"].max()
    assert result.best_score == best
    assert set(result.best_params) <= set(result.trials.columns)
    assert len(result.study.trials) == 5
    assert result.report == finished_search.folder / "mlruns/searches/first/report.html"
    again = tune.resume("first")  # the lock is free again
    assert again.test_score == result.test_score
