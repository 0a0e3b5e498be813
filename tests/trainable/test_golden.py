"""Trials of many kinds give the metrics that they gave when they were first recorded.

To the bit on the kinds of processors that they were recorded on, within a replay's tolerance
elsewhere. What is of float32 was recorded by the code of 0.1; what is of bfloat16 by that which
multiplies small maps (decision 52), and on one kind alone.
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
    trial = GOLDEN["trials"][name]
    config = TrialConfig.recorded(json.dumps(trial["config"]))
    device = resolve_device(config.train.precision, num_threads=1, use_gpu=False)
    recorded, exact = measured(name, device.identity)
    tuner = FineTuner(config, device, open_store(tmp_path, 10**9), trial["micro_batches"])
    for epoch in recorded["epochs"]:
        found = tuner.train_epoch()
        assert {key: found[key] for key in epoch} == (epoch if exact else close_to(epoch))
    test = tuner.evaluate("test")
    metrics = {"test_acc": test.accuracy, "test_loss": test.loss}
    expected = {key: recorded[key] for key in metrics}
    assert metrics == (expected if exact else close_to(expected))


def measured(name: str, processor: str) -> tuple[dict[str, Any], bool]:
    """What was measured of a trial, and whether it was on this kind of processor."""
    found = {kind: trials[name] for kind, trials in GOLDEN["measured"].items() if name in trials}
    exact = processor in found
    return found[processor] if exact else next(iter(found.values())), exact


def close_to(metrics: dict[str, float]) -> Any:
    """The tolerance of a replay on another machine."""
    return pytest.approx(metrics, rel=0.1, abs=0.1)
