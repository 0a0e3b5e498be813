"""`python -m tune.debug`: one trial, in this process, without Ray. A breakpoint stops it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune.config.loading import DEFAULT_CONFIG, check_files, load_config
from tune.environment import prepare_environment
from tune.errors import ConfigError

if TYPE_CHECKING:
    from trainable.finetuner import FineTuner
    from tune.config.schema import SearchConfig

DONE, FAILED, MISTAKE = 0, 1, 2
"""Exit codes."""
LEARNED = 0.01
"""Loss in nats under which a batch counts as learnt by heart."""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help=f"The trial, as YAML; by default {DEFAULT_CONFIG}.", show_default=False),
    ] = None,
    from_run: Annotated[
        str | None,
        typer.Option(metavar="RUN_ID", help="Run the trial of a run in MLflow, and compare."),
    ] = None,
    overfit_batch: Annotated[
        bool, typer.Option(help="Train on one batch and say whether its loss went to zero.")
    ] = False,
    test: Annotated[bool, typer.Option(help="Evaluate on the test split at the end.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Write the best epoch's weights, in half precision, here.")
    ] = None,
) -> None:
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
    prepare_environment()
    try:
        if save is not None and save.suffix != ".safetensors":
            raise ConfigError(f"--save {save}: the file's name must end in .safetensors")
        if from_run is not None:
            if config or overrides or overfit_batch or test or save:
                raise ConfigError("--from-run takes the trial as it was recorded, and nothing else")
            sys.exit(_replay(from_run))
        settings = load_config(config or DEFAULT_CONFIG, overrides or [])
        check_files(settings)
        tuner = _build(settings)
    except ConfigError as error:
        print(f"tune.debug: {error}", file=sys.stderr)
        sys.exit(MISTAKE)
    if overfit_batch:
        sys.exit(_overfit(tuner))
    sys.exit(_train(tuner, test=test, save=save))


def _build(config: SearchConfig) -> FineTuner:
    from trainable.finetuner import FineTuner

    try:
        return FineTuner.on(config.runtime(), config.base)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _train(tuner: FineTuner, *, test: bool, save: Path | None) -> int:
    from trainable.finetuner import DivergedError

    device = tuner.device
    print(f"{device.torch_device.type}, {device.precision}, threads: {device.num_threads}")
    best = -1.0
    while not tuner.finished:
        try:
            metrics = tuner.train_epoch()
        except DivergedError as error:
            print(f"tune.debug: diverged: {error}", file=sys.stderr)
            return FAILED
        numbers = "  ".join(f"{name} {value:.6f}" for name, value in metrics.items())
        print(f"epoch {tuner.epoch:3d}/{tuner.config.train.epochs}  {numbers}", flush=True)
        if save is not None and metrics["val_acc"] > best:
            best = metrics["val_acc"]
            _save(tuner, save)
    if test:
        print(f"test  accuracy {tuner.evaluate('test').accuracy:.4%} after the last epoch")
    return DONE


def _replay(run_id: str) -> int:
    from tune.models.replay import read_trial, rebuild, replay

    trial = read_trial(run_id)
    tuner = rebuild(trial)
    count = len(trial.epochs)

    def told(epoch: int, metrics: dict[str, float]) -> None:
        numbers = "  ".join(f"{name} {value:.6f}" for name, value in metrics.items())
        print(f"epoch {epoch:3d}/{count}  {numbers}", flush=True)

    difference = replay(trial, tuner, told)
    if difference is None:
        print(f"PASS: {count} epochs as recorded")
        return DONE
    print(f"FAIL: epoch {difference.epoch} is not as recorded")
    for name, (recorded, found) in difference.metrics.items():
        print(f"  {name}: {recorded} recorded, {found} here")
    for name, (there, here) in difference.surroundings.items():
        print(f"  another {name}: {there} recorded, {here} here")
    return FAILED


def _save(tuner: FineTuner, path: Path) -> None:
    from safetensors.torch import save_file

    state = tuner.network.net.state_dict()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.cpu().contiguous() for name, value in halves.items()}, path)


def _overfit(tuner: FineTuner) -> int:
    losses = tuner.overfit_batch()
    learned = losses[-1] < LEARNED
    verdict = (
        "learnt by heart" if learned else f"not under {LEARNED}: something keeps it from learning"
    )
    print(f"one batch, {len(losses)} steps: loss {losses[0]:.4f} -> {losses[-1]:.6f}, {verdict}")
    return DONE if learned else FAILED


if __name__ == "__main__":
    app()
