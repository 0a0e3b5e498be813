"""The trial as Ray drives it, in this process and without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.tune.trainable import trainable as ray_trainable

from trainable.config import TrialConfig
from trainable.device import Device
from trainable.finetuner import DivergedError, FineTuner
from trainable.ray_trainable import (
    CHECKPOINT_FILE,
    FineTuneTrainable,
    TrialSpec,
    read_checkpoint,
)

LEARNT = ("train_loss", "train_acc", "val_loss", "val_acc")


def spec(trial: TrialConfig, number: int = 0) -> TrialSpec:
    return TrialSpec(
        number=number,
        trial=trial.model_dump(mode="json"),
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
    """Start a small trial, its sections changed by keyword, that leaves nothing behind."""
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    started: list[FineTuneTrainable] = []

    def make(**sections: Any) -> FineTuneTrainable:
        started.append(FineTuneTrainable(config=dict(spec(tiny(**sections)))))
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
        assert result["training_iteration"] == epoch
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


def test_a_restored_trial_equals_one_uninterrupted(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    whole, restored = (start(data={"limit": 100}, model={"unfreeze_depth": 1}) for _ in range(2))
    whole.train()
    saved = whole.save(str(tmp_path / "checkpoint"))

    restored.restore(saved)

    for expected, result in zip(steps(whole, 2), steps(restored, 2), strict=True):
        assert learnt(result) == learnt(expected)
        assert result["training_iteration"] == expected["training_iteration"]
        assert result["done"] == expected["done"]


def test_a_checkpoint_is_one_file_without_code(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    trainable = start()
    trainable.train()
    trainable.save(str(tmp_path / "checkpoint"))

    state = torch.load(tmp_path / "checkpoint" / CHECKPOINT_FILE, weights_only=True)

    assert state["epoch"] == 1
    assert set(state["tail"]) == {"fc.weight", "fc.bias"}
    assert read_checkpoint(tmp_path / "checkpoint").keys() == state.keys()
    assert [path.name for path in (tmp_path / "checkpoint").glob("*.pt")] == [CHECKPOINT_FILE]


def test_a_trial_in_a_reused_process_equals_one_in_a_fresh_process(
    start: Callable[..., FineTuneTrainable], tiny: Callable[..., TrialConfig]
) -> None:
    changes: dict[str, Any] = {
        "data": {"limit": 100},
        "model": {"unfreeze_depth": 1},
        "optim": {"name": "sgd"},
    }
    reused, fresh = start(augment={"policy": "trivial"}), start(**changes)
    reused.train()

    assert reused.reset(dict(spec(tiny(**changes), 1)))

    for expected, result in zip(steps(fresh, 2), steps(reused, 2), strict=True):
        assert learnt(result) == learnt(expected)
        assert result["training_iteration"] == expected["training_iteration"]


def test_a_reset_says_that_it_worked(
    start: Callable[..., FineTuneTrainable], tiny: Callable[..., TrialConfig]
) -> None:
    assert start().reset_config(dict(spec(tiny(train={"seed": 1})))) is True


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
        "threads": 1,
        "memory_fraction": None,
        "cache_root": None,
        "cache_bytes": 0,
    }

    with pytest.raises(ValueError, match=r"optim\.lr"):
        FineTuneTrainable(config=broken)
