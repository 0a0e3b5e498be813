"""Epochs beside MLflow's record, by Ray's own loggers."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.air.integrations import wandb

from tests.helpers.commands import DIGITS
from tests.helpers.curves import scalars
from tests.helpers.doors import invoke
from tune.config.loading import load_config
from tune.engine.loggers import loggers
from tune.study.folder import SearchFolder

WANDB_ENVIRONMENT = ("WANDB_API_KEY", "WANDB_MODE", "NETRC")


class FakeTrial(SimpleNamespace):
    """What Ray's logger looks at of a trial."""

    def init_local_path(self) -> None:
        self.made = True

    def __hash__(self) -> int:
        return id(self)


def test_without_the_key_there_is_none(tmp_path: Path) -> None:
    assert loggers(load_config(DIGITS), SearchFolder("one", tmp_path)) == []


def test_tensorboard_shows_each_trials_epochs_by_their_own_numbers(tmp_path: Path) -> None:
    home = SearchFolder("one", tmp_path)
    (logger,) = loggers(load_config(DIGITS, ["tracking.also=[tensorboard]"]), home)
    assert pickle.loads(pickle.dumps(logger)) is not logger  # as Ray does, for a restore
    trial = FakeTrial(local_path="/elsewhere/trial-003", evaluated_params={})
    for count, epoch in ((1, 4), (2, 5)):  # the trial goes on after its third
        result = {"training_iteration": count, "epoch": epoch, "val_acc": epoch / 10}
        logger.log_trial_result(count, trial, result)
    logger.log_trial_result(3, trial, {"training_iteration": 3, "error": "it diverged"})
    logger.log_trial_end(trial)
    folder = home.folder / "tensorboard" / "trial-003"
    assert scalars(folder)["ray/tune/val_acc"] == {4: 0.4, 5: 0.5}


def test_wandb_has_a_group_for_each_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "wandb", SimpleNamespace())  # as if it were installed
    config = load_config(DIGITS, ["tracking.also=[wandb]"])
    (logger,) = loggers(config, SearchFolder("one", tmp_path))
    assert isinstance(logger, wandb.WandbLoggerCallback)
    assert (logger.project, logger.group) == ("digits", "one")


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom wandb does not know."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in WANDB_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_package_that_is_missing_is_told_before_the_start(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.config.loggers.find_spec", lambda asked: None)
    done = invoke("tune.search", f"tracking.also=[{name}]", cwd=tmp_path)
    assert done.returncode == 2
    told = f"tracking.also={name}: the package {package} is not installed; pip install {package}"
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("stranger")
def test_an_account_that_is_not_known_is_told_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.config.loggers.find_spec", lambda asked: asked)
    done = invoke("tune.search", "tracking.also=[wandb]", cwd=tmp_path)
    assert done.returncode == 2
    assert "tracking.also=wandb: no key of an account is known; run wandb login" in done.stderr


def test_what_no_logger_is_called_is_a_mistake(tmp_path: Path) -> None:
    done = invoke("tune.search", "tracking.also=[neptune]", cwd=tmp_path)
    assert done.returncode == 2
    assert "tracking.also" in done.stderr
