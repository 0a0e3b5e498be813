from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.helpers.commands import DIGITS, REPOSITORY, SMALL
from tests.helpers.doors import invoke
from tests.helpers.images import write_folders
from tests.helpers.searches import FinishedSearch
from trainable.config import TrialConfig
from trainable.data.datasets import load_dataset
from trainable.device import resolve_device
from trainable.finetuner import FineTuner
from trainable.judging.objective import Objective
from tune.config.loading import load_config
from tune.models.rehearsal import build, overfit, train
from tune.study.trial import Epoch, TrialLog


def test_it_prints_the_metrics_that_the_search_recorded(
    finished_search: FinishedSearch, tmp_path: Path
) -> None:
    done = invoke("tune.debug", "--config", str(DIGITS), *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    last = finished_search.runs("trial")[0].data.metrics
    printed = done.stdout.splitlines()[-1]
    for name in ("train_loss", "train_acc", "val_loss", "val_acc"):
        assert f"{name} {last[name]:.6f}" in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_one_batch_is_overfitted(tmp_path: Path) -> None:
    words = ["--overfit-batch", *SMALL, "model.unfreeze_depth=5", "train.batch_size=8"]
    done = invoke("tune.debug", "--config", str(DIGITS), *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", overfitted\n" in done.stdout


def test_one_batch_of_a_folder_of_images_is_overfitted(tmp_path: Path) -> None:
    write_folders(tmp_path / "photos", ("ants", "bees", "crickets"), 12, side=40)
    words = ["data.root=photos", "data.image_size=32", "model.weights=bundled"]
    size = ["train.batch_size=8", "model.unfreeze_depth=5"]
    config = ["--overfit-batch", "--config", "image_folder"]
    done = invoke("tune.debug", *config, *words, *size, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", overfitted\n" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["schedule.name=one_cycle"],
        ["optim.label_smoothing=0.1", "optim.l1=1e-3", "optim.weight_decay=0.1"],
        pytest.param(
            ["optim.name=sgd", "optim.lr=1e-2", "schedule.name=cosine", "schedule.warmup=0.5"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_head_alone_overfits_a_batch_whatever_its_schedule_and_regularization(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["data.limit=300", "data.image_size=16", "train.batch_size=32"]
    head = [*size, "model.unfreeze_depth=0", "optim.lr=3e-3"]
    assert overfit(build(load_config(DIGITS, [*head, *words])))
    found = re.search(r"one batch, (\d+) steps", capsys.readouterr().out)
    assert found
    assert int(found[1]) > 50


@pytest.mark.parametrize("depth", [0, pytest.param(1, marks=pytest.mark.nightly)])
def test_labels_that_no_image_explains_are_not_overfitted(
    depth: int, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["data.limit=300", "data.image_size=16", "train.batch_size=16"]
    words = [*size, f"model.unfreeze_depth={depth}"]
    trial = load_config(DIGITS, words).base
    dataset = load_dataset(trial.data)
    alike = torch.zeros_like(dataset.train.images)
    blank = replace(dataset, train=replace(dataset.train, images=alike), fingerprint="blank")
    assert not overfit(FineTuner(trial, resolve_device("fp32"), dataset=blank))
    assert "something keeps it from learning" in capsys.readouterr().out


@pytest.mark.slow
def test_a_trial_that_cannot_learn_one_batch_is_told_so(tmp_path: Path) -> None:
    words = ["--overfit-batch", *SMALL, "model.unfreeze_depth=0", "optim.lr=1e-9"]
    done = invoke("tune.debug", "--config", str(DIGITS), *words, cwd=tmp_path)
    assert done.returncode == 1
    assert "something keeps it from learning" in done.stdout


@pytest.mark.nightly
def test_pdb_stops_in_the_trial_itself(tmp_path: Path) -> None:
    commands = "break trainable.finetuner:FineTuner.train_epoch\ncontinue\nwhere\nquit\n"
    done = subprocess.run(
        [sys.executable, "-m", "pdb", "-m", "tune.debug", "--config", str(DIGITS), *SMALL],
        input=commands.replace("trainable.finetuner:FineTuner.train_epoch", breakpoint_place()),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert re.search(r"> \S*finetuner\.py\(\d+\)train_epoch\(\)", done.stdout), done.stdout


def breakpoint_place() -> str:
    """File and line of the first statement of `FineTuner.train_epoch`."""
    path = REPOSITORY / "trainable" / "finetuner.py"
    lines = path.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if "def train_epoch" in line)
    inside = next(i for i in range(start, len(lines)) if "perf_counter()" in lines[i])
    return f"{path}:{inside + 1}"


@pytest.mark.slow
def test_the_best_epoch_can_be_saved_and_started_from(tmp_path: Path) -> None:
    words = ["--config", str(DIGITS), *SMALL, "model.unfreeze_depth=5"]
    saved = invoke("tune.debug", *words, "--save", "own.safetensors", "--test", cwd=tmp_path)
    assert saved.returncode == 0, saved.stderr
    assert "test  accuracy" in saved.stdout
    weights = load_file(tmp_path / "own.safetensors")
    assert weights["conv1.weight"].dtype.itemsize == 2
    start = [*words, "model.weights=own.safetensors", "model.unfreeze_depth=0"]
    again = invoke("tune.debug", *start, cwd=tmp_path)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    "epochs",
    [
        [(0.5, 1.0), (0.9, 0.5), (0.9, 0.4), (0.8, 0.1)],
        [(0.9, 0.4), (0.9, 0.4), (0.9, 0.5)],
        [(0.1, 9.0), (0.2, 8.0)],
    ],
)
@pytest.mark.parametrize("metric", ["val_acc", "val_loss"])
def test_the_epoch_that_is_saved_is_the_one_that_a_search_takes(
    metric: str, epochs: list[tuple[float, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = [{"val_acc": accuracy, "val_loss": loss} for accuracy, loss in epochs]
    log = TrialLog(0, {}, 0, [Epoch(each, 0) for each in reports])
    log.objective = Objective.named(metric)

    class Tuner:
        """Reports those epochs."""

        config = TrialConfig.model_validate({"train": {"epochs": len(reports)}})
        device, objective, epoch = resolve_device("fp32"), log.objective, 0
        network = SimpleNamespace(net=nn.Linear(1, 1))

        @property
        def finished(self) -> bool:
            return self.epoch == len(reports)

        def weights(self) -> dict[str, Tensor]:
            return self.network.net.state_dict()

        def train_epoch(self) -> dict[str, float]:
            self.epoch += 1
            self.network.net.bias.data.fill_(self.epoch)
            return reports[self.epoch - 1]

    train(cast("FineTuner", Tuner()), test=False, save=tmp_path / "best.safetensors")
    assert load_file(tmp_path / "best.safetensors")["bias"].item() == log.best


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["optim.lrr=1"], "nearest: optim.lr"),
        (["--save", "model.bin"], ".safetensors"),
        (["model.weights=missing.pt"], "missing.pt"),
        (["data.limit=3"], "data.limit"),
        (["--from-run", "x", "optim.lr=1"], "the trial as it was recorded; only --save goes along"),
    ],
)
def test_a_mistake_ends_with_2_and_one_line(words: list[str], told: str, tmp_path: Path) -> None:
    done = invoke("tune.debug", "--config", str(DIGITS), *words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_looked_for_where_nothing_is_recorded(tmp_path: Path) -> None:
    done = invoke("tune.debug", "--from-run", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert "--from-run x: no search is recorded here (sqlite:///" in done.stderr
    assert list(tmp_path.iterdir()) == []
