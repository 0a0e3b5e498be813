"""Records of trials as `benchmarks/strategies/record.py` writes them, of tasks that are made up."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

LENGTHS: Final = (2, 6)
VALIDATION, TEST = 100, 400
"""The images of a task."""


def write_records(folder: Path, task: str, configs: int, best_rate: float = 3e-3) -> Path:
    """Write a task's records.

    Args:
        folder: Where to.
        task: Its name, one of the benchmark's; its configs and noise are drawn by it.
        configs: How many configs are recorded, each at both lengths.
        best_rate: The learning rate (of AdamW) that is best for it.
    """
    drawn = random.Random(task)
    path = folder / f"{task}.jsonl"
    with path.open("w") as file:
        for number in range(configs):
            params = _params(drawn, task)
            for length in LENGTHS:
                record = _record(drawn, task, number, params, length, best_rate)
                file.write(json.dumps(record) + "\n")
    return path


def true_accuracy(params: Mapping[str, Any], share: float, best_rate: float) -> float:
    """What a config reaches after a share of six epochs, but for noise."""
    usual = 1.0 if params["optim.name"] == "adamw" else 30.0
    off = abs(math.log10(params["optim.lr"] / usual / best_rate))
    depth = 0.03 * abs(params["model.unfreeze_depth"] - 2)
    final = 0.9 - depth - 0.25 * max(0.0, off - 0.2)
    return 0.1 + max(0.0, final - 0.1) * share**0.5


def _params(drawn: random.Random, task: str) -> dict[str, Any]:
    policies = ["none", "flip_crop", "trivial"]
    return {
        "optim.name": drawn.choice(["sgd", "adamw"]),
        "optim.lr": 10 ** drawn.uniform(-4, -1),
        "optim.weight_decay": 10 ** drawn.uniform(-6, -1),
        "optim.layer_decay": drawn.choice([0.4, 0.65, 1.0]),
        "optim.label_smoothing": drawn.choice([0.0, 0.1]),
        "schedule.warmup": drawn.choice([0.1, 0.3]),
        "augment.policy": drawn.choice(policies if task == "digits" else [*policies, "flip"]),
        "augment.mixup": drawn.choice([0.0, 0.2]),
        "train.batch_size": drawn.choice([32, 64, 128]),
        "model.unfreeze_depth": drawn.randint(1, 5),
    }


def _record(
    drawn: random.Random,
    task: str,
    number: int,
    params: Mapping[str, Any],
    length: int,
    best_rate: float,
) -> dict[str, Any]:
    epochs, best = list[dict[str, float]](), -1.0
    for epoch in range(length):
        accuracy = true_accuracy(params, (epoch + 1) / length * min(1, length / 4), best_rate)
        metrics = {
            "train_loss": 1 - accuracy,
            "train_acc": accuracy,
            "val_loss": 2.3 * (1 - accuracy) + 0.01,
            "val_acc": _observed(drawn, accuracy, VALIDATION),
            "prepare_seconds": 0.5 if number < 3 else 0.0,
            "seconds": 0.5 + params["model.unfreeze_depth"],
        }
        if metrics["val_acc"] > best:
            best = metrics["val_acc"]
            metrics["test_acc"] = _observed(drawn, accuracy, TEST)
        epochs.append(metrics)
    return {
        "task": task,
        "number": number,
        "length": length,
        "params": dict(params),
        "seed": number,
        "commit": "0000000",
        "total_seconds": 1.0,
        "epochs": epochs,
        "error": None,
    }


def _observed(drawn: random.Random, accuracy: float, images: int) -> float:
    """The share of images that are right, each by chance."""
    right = sum(drawn.random() < accuracy for _ in range(images))
    return float(f"{right / images:.5g}")
