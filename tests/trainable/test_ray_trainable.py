"""The trial as Ray drives it, in this process and without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.tune.trainable import trainable as ray_trainable

from trainable.checkpoints import BEST, LAST, read_checkpoint
from trainable.config import TrialConfig
from trainable.device import Device
from trainable.finetuner import DivergedError, FineTuner
from trainable.ray_trainable import FineTuneTrainable, TrialSpec, rank

LEARNT = ("train_loss", "train_acc", "val_loss", "val_acc")


def spec(trial: TrialConfig, folder: Path) -> TrialSpec:
    return TrialSpec(
        number=0,
        trial=trial.model_dump(mode="json"),
        folder=str(folder),
        threads=1,
        memory_fraction=None,
        cache_root=None,
        cache_bytes=0,
    )


def learnt(result: dict[str, Any]) -> dict[str, float]:
    return {name: result[name] for name in LEARNT}


def steps(trainable: FineTuneTrainable, count: int) -> list[dict[str, Any]]:
    return [trainable.train() for _ in range(count)]


@pytest.fixture
def start(
    tiny: Callable[..., TrialConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., FineTuneTrainable]]:
    """Start a small trial, its sections changed by keyword, in a folder of its own."""
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    started: list[FineTuneTrainable] = []

    def make(folder: Path | None = None, **sections: Any) -> FineTuneTrainable:
        folder = folder or tmp_path / f"trial-{len(started)}"
        started.append(FineTuneTrainable(config=dict(spec(tiny(**sections), folder))))
        return started[-1]

    yield make
    for trainable in started:
        trainable.stop()


def test_a_step_is_an_epoch_of_the_trial(
    start: Callable[..., FineTuneTrainable], tiny: Callable[..., TrialConfig], device: Device
) -> None:
    trainable, tuner = start(), FineTuner(tiny(), device)

    for epoch in (1, 2, 3):
        result = trainable.train()
        assert learnt(result) == learnt(tuner.train_epoch())
        assert result["epoch"] == epoch
    assert not ray.is_initialized()


def test_a_result_tells_what_the_device_resolved_to(
    start: Callable[..., FineTuneTrainable],
) -> None:
    result = start().train()

    assert (result["device"], result["precision"], result["threads"]) == ("cpu", "fp32", 1)
    assert result["epoch_seconds"] > 0


def test_a_trial_is_done_at_its_last_epoch(start: Callable[..., FineTuneTrainable]) -> None:
    results = steps(start(), 3)

    assert [result["finished"] for result in results] == [False, False, True]
    assert [result["done"] for result in results] == [False, False, True]


def test_a_trial_is_done_when_early_stopping_says_so(
    start: Callable[..., FineTuneTrainable],
) -> None:
    trainable = start(
        optim={"lr": 0.5},
        schedule={"name": "constant"},
        train={"epochs": 100, "early_stopping": 1},
    )

    results = [trainable.train()]
    while not results[-1]["done"]:
        results.append(trainable.train())

    assert len(results) < 100
    assert results[-1]["val_loss"] >= results[-2]["val_loss"]


def test_a_trial_goes_on_from_its_folder_as_if_uninterrupted(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"data": {"limit": 100}, "model": {"unfreeze_depth": 1}}
    expected = steps(start(**changes), 3)
    first = start(tmp_path / "same", **changes)
    first.train()

    again = start(tmp_path / "same", **changes)

    # The last epoch's result is told again: it may not have been heard.
    for result, wanted in zip(steps(again, 3), expected, strict=True):
        assert learnt(result) == learnt(wanted)
        assert (result["epoch"], result["done"]) == (wanted["epoch"], wanted["done"])
        assert learnt(result["best"]) == learnt(wanted["best"])


def test_a_trial_that_had_finished_only_tells_its_end(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    last = steps(start(tmp_path / "same"), 3)[-1]
    result = start(tmp_path / "same").train()
    assert result["done"]
    assert learnt(result) == learnt(last)


def test_the_best_epoch_so_far_is_told_and_kept(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    trainable = start(
        tmp_path / "trial",
        optim={"lr": 0.05},
        schedule={"name": "constant"},
        train={"epochs": 6},
    )
    results: list[dict[str, Any]] = []
    for _ in range(6):
        results.append(trainable.train())
        best = max(results, key=rank)
        assert learnt(results[-1]["best"]) == learnt(best)
        assert read_checkpoint(tmp_path / "trial" / BEST)["tuner"]["epoch"] == best["epoch"]
        assert read_checkpoint(tmp_path / "trial" / LAST)["tuner"]["epoch"] == len(results)
    assert sorted(path.name for path in (tmp_path / "trial").iterdir()) == [BEST, LAST]


def test_a_trial_in_a_reused_process_equals_one_in_a_fresh_process(
    start: Callable[..., FineTuneTrainable], tiny: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "data": {"limit": 100},
        "model": {"unfreeze_depth": 1},
        "optim": {"name": "sgd"},
    }
    reused, fresh = start(augment={"policy": "trivial"}), start(**changes)
    reused.train()

    assert reused.reset(dict(spec(tiny(**changes), tmp_path / "reused")))

    for expected, result in zip(steps(fresh, 2), steps(reused, 2), strict=True):
        assert learnt(result) == learnt(expected)
        assert result["epoch"] == expected["epoch"]


def test_a_reset_says_that_it_worked(
    start: Callable[..., FineTuneTrainable], tiny: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    assert start().reset_config(dict(spec(tiny(train={"seed": 1}), tmp_path / "other"))) is True


def test_a_trial_that_diverges_has_no_result(start: Callable[..., FineTuneTrainable]) -> None:
    trainable = start(
        optim={"name": "sgd", "lr": 100, "weight_decay": 10},
        schedule={"name": "constant"},
        train={"epochs": 50},
    )

    with pytest.raises(DivergedError):
        steps(trainable, 50)


def test_a_spec_that_is_no_trial_is_refused(start: Callable[..., FineTuneTrainable]) -> None:
    broken = {
        "number": 0,
        "trial": {"optim": {"lr": -1}},
        "folder": "",
        "threads": 1,
        "memory_fraction": None,
        "cache_root": None,
        "cache_bytes": 0,
    }

    with pytest.raises(ValueError, match=r"optim\.lr"):
        FineTuneTrainable(config=broken)
