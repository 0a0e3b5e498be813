"""One trial in this process, printed epoch by epoch: trained, overfitted, or replayed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from trainable.data.balance import Balance
from trainable.finetuner import DivergedError, FineTuner
from trainable.judging.metrics import EPOCH_METRICS
from trainable.judging.objective import Objective
from trainable.network.weights import save_weights
from tune.base.errors import ConfigError, squeeze
from tune.config.schema import SearchConfig

__all__ = ["DivergedError", "build", "overfit", "replay_run", "train"]

OVERFITTED: Final = 0.01
"""The loss in nats under which a batch counts as overfitted."""
FIRST_STEPS: Final = 200
"""Steps after which it is first asked whether more of them would help."""
MOST_STEPS: Final = 12_800
_NOTE: Final = 400
"""Characters of a line about the classes, which it names."""
PROGRESS: Final = 0.25
"""The least share by which twice as many steps lower the loss of what is still learning."""

_CHECKS: Final = {FIRST_STEPS * 2**power for power in range(10)}


class _Saver:
    """Saves the weights after each epoch that a search would take.

    Args:
        path: A `.safetensors` file; with None, nothing is saved.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._best = path, (-math.inf, -math.inf)

    def after_epoch(self, tuner: FineTuner, metrics: dict[str, float]) -> None:
        """Save the weights if they are the best so far."""
        rank = tuner.objective.rank(metrics)
        # Without validation images there is no better epoch than the last.
        if self._path is not None and (rank > self._best or tuner.config.data.keeps_no_validation):
            self._best = rank
            save_weights(tuner.weights(), self._path)


def build(config: SearchConfig) -> FineTuner:
    """The base trial of a config, as a search runs it.

    Raises:
        ConfigError: The data or the weights are not available, or do not fit.
    """
    try:
        tuner = FineTuner.on(config.runtime(), config.base)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    balance = Balance.of(tuner.dataset)
    for line in (balance.described, *balance.warnings(config.keys_in_use)):
        print(f"classes  {squeeze(line, _NOTE)}")
    return tuner


def train(tuner: FineTuner, *, test: bool, save: Path | None) -> None:
    """Train to the end.

    Args:
        tuner: The trial.
        test: Whether the test split is evaluated at the end.
        save: Where the best epoch's weights are written, if anywhere.

    Raises:
        DivergedError: A loss is not finite.
    """
    device, saver = tuner.device, _Saver(save)
    print(f"{device.torch_device.type}, {device.precision}, threads: {device.num_threads}")
    while not tuner.finished:
        metrics = tuner.train_epoch()
        _show(tuner.epoch, tuner.config.train.epochs, metrics)
        saver.after_epoch(tuner, metrics)
    if test:
        tested = tuner.evaluate("test")
        shown = f"accuracy {tested.accuracy:.4%}, loss {tested.loss:.4f}"
        for each in map(Objective, tuner.objective.metrics):
            if each.name not in EPOCH_METRICS:
                shown += f", {each.metric.quantity} {each.show(each.metric.of(tested))}"
        print(f"test  {shown}, after the last epoch")


def overfit(tuner: FineTuner) -> bool:
    """Train on one batch alone; returns whether it was overfitted.

    What is trained decides how many steps that takes: a whole network is done in dozens, a head on
    frozen features may need thousands. So it goes on as long as twice the steps still lower the
    loss noticeably, as they do by half of anything that falls like one over the steps.
    """
    first, step, loss, checked = math.nan, 0, math.inf, math.inf
    for step, loss in enumerate(tuner.overfit_batch(), 1):
        first = loss if step == 1 else first
        if loss < OVERFITTED or not math.isfinite(loss) or step == MOST_STEPS:
            break
        if step in _CHECKS:
            if loss > (1 - PROGRESS) * checked:
                break
            checked = loss
    overfitted = loss < OVERFITTED
    failure = f"not under {OVERFITTED}: something keeps it from learning"
    verdict = "overfitted" if overfitted else failure
    print(f"one batch, {step} steps: loss {first:.4f} -> {loss:.6f}, {verdict}")
    return overfitted


def replay_run(run_id: str, save: Path | None) -> bool:
    """Train a recorded trial again, and compare; returns whether it is as recorded.

    Args:
        run_id: The id of the trial's run in MLflow.
        save: Where the weights of its best epoch are written, if anywhere.

    Raises:
        ConfigError: There is no such trial, or it cannot be rebuilt here.
    """
    from tune.models.replay import read_trial, rebuild, replay  # with MLflow

    trial = read_trial(run_id)
    tuner, count, saver = rebuild(trial), len(trial.epochs), _Saver(save)

    def report(epoch: int, metrics: dict[str, float]) -> None:
        _show(epoch, count, metrics)
        saver.after_epoch(tuner, metrics)

    difference = replay(trial, tuner, report)
    print(f"FAIL: {difference}" if difference is not None else f"PASS: {count} epochs as recorded")
    return difference is None


def _show(epoch: int, count: int, metrics: dict[str, float]) -> None:
    numbers = "  ".join(f"{name} {value:.6f}" for name, value in metrics.items())
    print(f"epoch {epoch:3d}/{count}  {numbers}", flush=True)
