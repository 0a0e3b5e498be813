"""`python -m tune.search --dry-run`: what would be tried first, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import DIGITS, SMALL
from tests.helpers.doors import invoke
from tests.helpers.results import add_trial
from tests.helpers.studies import search_of
from trainable.data.datasets import load_dataset
from tune.cli import open_console
from tune.config.loading import load_config
from tune.engine import cluster
from tune.engine.preflight import choose_points
from tune.strategy.portfolio import open_search
from tune.study.folder import SearchFolder

POINTS = (
    "strategy.portfolio=["
    "{name: slow, why: Rates below, values: {optim.lr: 1e-3}},"
    "{name: many, why: For many images, when: {images: {ge: 5000}}, values: {optim.lr: 5e-4}},"
    "{name: easy, when: {probe_accuracy: {ge: 0.01}}, values: {optim.lr: 7e-4}}]"
)


def dry_run(folder: Path, *words: str) -> str:
    done = invoke("tune.search", "--config", str(DIGITS), "--dry-run", *words, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_says_what_is_tried_first_and_why_and_starts_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: Any) -> None:
        raise AssertionError("Ray is started")

    monkeypatch.setattr(cluster, "start_ray", start)
    monkeypatch.setenv("TUNE_CACHE", str(tmp_path / "cache"))
    output = dry_run(tmp_path, POINTS, *SMALL, "--num-samples=9")
    assert list(tmp_path.iterdir()) == []
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "first 3 of 9 trials:" in lines
    assert "0 config: the config's own values" in lines
    assert "1 slow: Rates below" in lines
    assert "2 easy:" in lines
    assert "- many: not tried, only where images is at least 5000; images is 222" in " ".join(lines)
    assert "model.unfreeze_depth 0 to 5" in lines
    assert any(line.startswith("probe ") for line in lines)
    assert any("images_per_class 22.2" in line for line in lines)
    assert "rungs asha, of epochs: 9 train 1, about 3 train 3" in lines
    assert "epochs about 15 for the trials, of 27 if none were stopped" in lines
    assert lines[-1].startswith("cost not known")


@pytest.mark.slow
def test_what_is_shown_is_what_a_search_tries(tmp_path: Path) -> None:
    config = load_config(DIGITS, [POINTS, *SMALL])
    search = search_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")
    chosen = choose_points(search, open_console(file=sys.stderr))
    assert chosen.points is not None
    assert [point.name for point in chosen.points] == ["config", "slow", "easy"]
    assert chosen.facts["weights"] == "random"
    ledger = open_search(chosen)
    assert [ledger.begin().params for _ in range(3)] == [each.values for each in chosen.points]


def test_without_a_portfolio_a_search_knows_nothing_and_begins_as_ever(tmp_path: Path) -> None:
    config = load_config(DIGITS, SMALL)
    search = search_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")
    assert choose_points(search, open_console()) is search
    assert "first    1 of 20 trials:" in dry_run(tmp_path, *SMALL)


def test_conditions_and_a_small_space_are_shown(tmp_path: Path) -> None:
    when = "{values: [0.5, 0.8], when: {model.unfreeze_depth: {ge: 5}}}"
    words = ["optim.lr=1e-3", "optim.weight_decay=0", "augment.policy=none"]
    output = dry_run(tmp_path, *SMALL, *words, f"space.optim.layer_decay={when}")
    assert "0.5, 0.8, if model.unfreeze_depth is at least 5" in output
    assert "first    1 of 7 trials:" in output


def test_the_cost_is_that_of_the_last_search_on_these_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(DIGITS, SMALL)
    home = SearchFolder("one")
    fingerprint = load_dataset(config.data).fingerprint
    (tmp_path / "mlruns").mkdir()
    search = search_of(config, "sqlite:///mlruns/optuna.db").model_copy(
        update={"data_fingerprint": fingerprint}
    )
    home.begin(search)
    ledger = open_search(search)
    add_trial(ledger, [0.5, 0.6])
    database = tmp_path / "mlruns" / "optuna.db"
    written = database.stat().st_mtime_ns
    assert "epochs   about 38" not in dry_run(tmp_path, *SMALL)
    assert "s of trial time, at 0.55 s an epoch as before" in dry_run(tmp_path, *SMALL)
    assert database.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--resume", "one"],
            "--dry-run is of a new search, and --resume one is an old one",
        ),
        (["strategy.portfolio=lit"], "strategy.portfolio=lit: no such file or portfolio"),
        (["optim.lrr=1"], "nearest: optim.lr"),
        (["--name", "../escape"], "--name ../escape"),
    ],
)
def test_a_mistake_in_a_dry_run_is_told_as_ever(
    words: list[str], told: str, tmp_path: Path
) -> None:
    done = invoke("tune.search", "--dry-run", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_points_beyond_the_number_of_trials_are_not_shown(tmp_path: Path) -> None:
    output = dry_run(tmp_path, POINTS, *SMALL, "--num-samples=1")
    assert "first    1 of 1 trials:" in output
    assert "slow: not tried, there are 1 trials" in output


def test_what_an_earlier_search_would_give_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(DIGITS, [*SMALL, "sampler.name=random"])
    search = search_of(config, "sqlite:///mlruns/optuna.db").model_copy(
        update={"data_fingerprint": load_dataset(config.data).fingerprint}
    )
    SearchFolder("one").begin(search)
    ledger = open_search(search)
    for score in (0.5, 0.8):
        add_trial(ledger, [score] * 3)
    taken = invoke("tune.search", "--dry-run", "--name", "one", cwd=tmp_path)
    assert (taken.returncode, "resume it by --resume one" in taken.stderr) == (2, True)
    told = "earlier-1: trial 1 of search one, its best on the same images: val_acc 80.00%"
    assert told in dry_run(tmp_path, *SMALL)
    assert "earlier-1" not in dry_run(tmp_path, *SMALL, "strategy.transfer=false")
