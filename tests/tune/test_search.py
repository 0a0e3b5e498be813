"""Mistakes in a search, which end it before Ray starts; tests/e2e has the searches that run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.helpers.commands import DIGITS, REPOSITORY
from tests.helpers.doors import invoke
from tests.helpers.studies import search_of
from tune.config.loading import load_config
from tune.engine import request
from tune.study.folder import SearchFolder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-samples", "0"], "budget.num_samples=0"),
        (["--num-samples", "some"], "budget.num_samples=some"),
        (["optim.lrr=1"], "nearest: optim.lr"),
        (["--config", "missing.yaml"], "missing.yaml: no such file"),
        (["data.source=image_folder", "data.root=missing"], "data.root=missing"),
        (["model.weights=missing.pt"], "missing.pt"),
        (["--name", "../escape"], "--name ../escape"),
        (["--resume", "first"], "search first: no search was started in this folder"),
        (["--resume", "first", "train.epochs=5"], "--target, --storage and --address can"),
        (["--resume-or-start", "first", "--name", "first"], "goes along with neither --resume nor"),
        (["--resume-or-start", "../first"], "--resume-or-start ../first: letters, digits"),
        (["--address", "ray://head:10001"], "give HOST:6379 there, or submit it: ray job submit"),
        (["--resume", "../first"], "--resume ../first: letters, digits"),
        (["tracking.uri=mlruns"], "tracking.uri=mlruns: MLflow keeps no records in plain files"),
        (["--time-budget", "soon"], "budget.time=soon"),
        (
            ["optim.lr=1", "optim.weight_decay=0", "model.unfreeze_depth=0", "augment.policy=none"],
            "space is empty",
        ),
    ],
)
def test_a_mistake_ends_with_2_and_one_line_before_anything_is_written(
    words: list[str], message: str, tmp_path: Path
) -> None:
    config = [] if {"--config", "--resume"} & set(words) else ["--config", str(DIGITS)]
    done = invoke("tune.search", *config, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("tune.search: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_before_ray_starts_ends_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(request, "new_search", interrupted)
    monkeypatch.setattr("tune.engine.signals._heard", [])
    done = invoke("tune.search", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, "tune.search: interrupted by SIGTERM\n")


def test_it_leaves_by_its_exit_code_once_ray_may_have_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []

    def leave(code: int, clean: Callable[[], None]) -> None:
        left.append(code)
        raise SystemExit(code)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tune.engine.foreground.leave", leave)
    monkeypatch.setattr("tune.engine.foreground.import_beside_ray", full)
    done = invoke("tune.search", "--name=first", cwd=tmp_path)
    assert (done.returncode, left) == (1, [1])
    assert done.stdout == "search   first\n"
    assert done.stderr.startswith("tune.search: no space is left on the disk ([Errno 28]")


def test_a_finished_search_whose_space_has_no_more_trials_says_so(tmp_path: Path) -> None:
    fixed = ["optim.lr=1e-3", "optim.weight_decay=0", "augment.policy=none"]
    found = search_of(load_config(DIGITS, fixed), "sqlite:///mlruns/optuna.db")
    home = SearchFolder("one", tmp_path / "mlruns")
    home.begin(found.model_copy(update={"concluded": True}))
    home.release()
    done = invoke("tune.search", "--resume", "one", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    told = "search one is finished, with 6 trials; for more: another space, for this one has no"
    assert told in done.stdout


def test_a_config_to_start_from_is_printed_and_nothing_written(tmp_path: Path) -> None:
    done = invoke("tune.search", "--print-config", "--config", "image_folder", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (REPOSITORY / "configs" / "image_folder.yaml").read_text()
    done = invoke("tune.search", "--print-config", "--num-samples=7", cwd=tmp_path)
    assert yaml.safe_load(done.stdout)["budget"]["num_samples"] == 7
    words = ("--config", "image_folder", "train.epochs=20")
    done = invoke("tune.search", "--print-config", *words, cwd=tmp_path)
    found = yaml.safe_load(done.stdout)
    assert (found["train"]["epochs"], found["data"].get("root")) == (20, None), done.stderr
    done = invoke("tune.search", "--print-config", *words, "train.epoch=2", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    done = invoke("tune.search", "--print-config", "--num-samples=none", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    done = invoke("tune.search", "--print-config", "--dry-run", cwd=tmp_path)
    assert done.stderr.startswith("tune.search: --print-config goes along with neither")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "/mnt cannot be written"
    monkeypatch.setattr("tune.engine.launch.why_not_writable", lambda _: reason)
    done = invoke("tune.search", "--num-samples=1", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"tune.search: nothing can be written here: {reason}; go to another folder\n"
    )
