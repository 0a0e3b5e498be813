"""`python -m tune.debug`: one trial, in this process, without Ray. A breakpoint stops it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune.cli import ConfigOption, Door, OverridesArgument
from tune.config.loading import check_files, load_config
from tune.config.schema import SearchConfig
from tune.errors import DONE, FAILED, ConfigError

if TYPE_CHECKING:
    from trainable.finetuner import FineTuner

OVERFITTED = 0.01
"""The loss in nats under which a batch counts as overfitted."""

app = Door("tune.debug")


@app.command()
def main(
    overrides: OverridesArgument = None,
    config: ConfigOption = None,
    from_run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_ID", help="Replay the trial of an MLflow run, and compare each epoch."
        ),
    ] = None,
    overfit_batch: Annotated[
        bool, typer.Option(help="Train on one batch only, and report whether it is overfitted.")
    ] = False,
    test: Annotated[bool, typer.Option(help="Evaluate on the test split at the end.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the best epoch's weights, in half precision, to this .safetensors file.",
        ),
    ] = None,
) -> int:
    """Run one trial in this process, and print each epoch.

    There is no Ray and no worker: `breakpoint()` in `FineTuner.train_epoch`, or
    `python -m pdb -m tune.debug`, stops where you want it. The metrics are those that the
    same config gives in a search, bit for bit on the same machine.

    Examples:
    `python -m tune.debug optim.lr=1e-3 model.unfreeze_depth=2`

    `python -m tune.debug --overfit-batch model.unfreeze_depth=5`

    `python -m tune.debug --from-run 0a1b2c3d4e5f60718293a4b5c6d7e8f9`

    Exit code: 0 done, 1 failed or not as recorded, 2 a mistake in the command or the config.
    """
    if save is not None and save.suffix != ".safetensors":
        raise ConfigError(f"--save {save}: the file's name must end in .safetensors")
    if from_run is not None:
        if config or overrides or overfit_batch or test or save:
            raise ConfigError("--from-run takes the trial as it was recorded, and nothing else")
        return _replay(from_run)
    settings = load_config(config, overrides or [])
    check_files(settings)
    tuner = _build(settings)
    return _overfit(tuner) if overfit_batch else _train(tuner, test=test, save=save)


def _build(config: SearchConfig) -> FineTuner:
    from trainable.finetuner import FineTuner

    try:
        return FineTuner.on(config.runtime(), config.base)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _train(tuner: FineTuner, *, test: bool, save: Path | None) -> int:
    from trainable.finetuner import DivergedError
    from trainable.network.weights import save_weights

    device, best = tuner.device, (-math.inf, -math.inf)
    print(f"{device.torch_device.type}, {device.precision}, threads: {device.num_threads}")
    while not tuner.finished:
        try:
            metrics = tuner.train_epoch()
        except DivergedError as error:
            app.complain(f"diverged: {error}")
            return FAILED
        _show(tuner.epoch, tuner.config.train.epochs, metrics)
        if save is not None and (rank := tuner.objective.rank(metrics)) > best:
            best = rank
            save_weights(tuner.weights(), save)
    if test:
        tested = tuner.evaluate("test")
        print(f"test  accuracy {tested.accuracy:.4%}, loss {tested.loss:.4f}, after the last epoch")
    return DONE


def _overfit(tuner: FineTuner) -> int:
    losses = tuner.overfit_batch()
    overfitted = losses[-1] < OVERFITTED
    failure = f"not under {OVERFITTED}: something keeps it from learning"
    verdict = "overfitted" if overfitted else failure
    print(f"one batch, {len(losses)} steps: loss {losses[0]:.4f} -> {losses[-1]:.6f}, {verdict}")
    return DONE if overfitted else FAILED


def _replay(run_id: str) -> int:
    from tune.models.replay import read_trial, rebuild, replay

    trial = read_trial(run_id)
    tuner = rebuild(trial)
    count = len(trial.epochs)
    difference = replay(trial, tuner, lambda epoch, metrics: _show(epoch, count, metrics))
    if difference is None:
        print(f"PASS: {count} epochs as recorded")
        return DONE
    print(f"FAIL: {difference}")
    return FAILED


def _show(epoch: int, count: int, metrics: dict[str, float]) -> None:
    numbers = "  ".join(f"{name} {value:.6f}" for name, value in metrics.items())
    print(f"epoch {epoch:3d}/{count}  {numbers}", flush=True)


if __name__ == "__main__":
    app()
