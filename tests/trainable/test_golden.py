"""Trials of many kinds give the metrics that they gave when they were first recorded.

To the bit on the kind of processor that recorded them, within a replay's tolerance elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from trainable.config import TrialConfig
from trainable.device import resolve_device
from trainable.finetuner import FineTuner
from trainable.store.arrays import open_store

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "golden_trials.json").read_text()
)


FAST: Final = {
    "depth 0",
    "depth 1, flip",
    "depth 2, mixup, one cycle",
    "depth 5, l1, layer decay, step",
}
"""Those that `make test` runs too: the others are variations of them."""
NAMES: Final = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow)
    for name in GOLDEN["trials"]
]


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_gives_the_recorded_metrics(name: str, tmp_path: Path) -> None:
    recorded = GOLDEN["trials"][name]
    config = TrialConfig.recorded(json.dumps(recorded["config"]))
    device = resolve_device(config.train.precision, num_threads=1, use_gpu=False)
    tuner = FineTuner(config, device, open_store(tmp_path, 10**9), recorded["micro_batches"])
    for epoch in recorded["epochs"]:
        found = tuner.train_epoch()
        assert {key: found[key] for key in epoch} == alike(epoch, device.identity)
    test = tuner.evaluate("test")
    metrics = {"test_acc": test.accuracy, "test_loss": test.loss}
    assert metrics == alike({key: recorded[key] for key in metrics}, device.identity)


def alike(metrics: dict[str, float], identity: str) -> Any:
    """What is expected here: the same on the same kind of processor."""
    return metrics if identity == GOLDEN["processor"] else pytest.approx(metrics, rel=0.1, abs=0.1)
