"""`python -m tune.debug`: one trial, in this process, without Ray. A breakpoint stops it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainable.files.places import why_not_writable
from tune.base.errors import DONE, FAILED, ConfigError
from tune.cli import ConfigOption, Door, OverridesArgument
from tune.config.loading import check_files, load_config

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

    `python -m tune.debug --from-run 0a1b2c3d4e5f60718293a4b5c6d7e8f9 --save own.safetensors`

    Exit code: 0 done, 1 failed or not as recorded, 2 a mistake in the command or the config.
    """
    if save is not None and save.suffix != ".safetensors":
        raise ConfigError(f"--save {save}: the file's name must end in .safetensors")
    if save is not None and (reason := why_not_writable(save)):
        raise ConfigError(f"--save {save} cannot be written: {reason}")
    if from_run is not None:
        if config or overrides or overfit_batch or test:
            raise ConfigError(
                "--from-run takes the trial as it was recorded; only --save goes along"
            )
        from tune.models.rehearsal import replay_run

        return DONE if replay_run(from_run, save) else FAILED
    settings = load_config(config, overrides or [])
    check_files(settings)
    from tune.models.rehearsal import DivergedError, build, overfit, train  # with PyTorch

    tuner = build(settings)
    if overfit_batch:
        return DONE if overfit(tuner) else FAILED
    try:
        train(tuner, test=test, save=save)
    except DivergedError as error:
        app.complain(f"diverged: {error}")
        return FAILED
    return DONE


if __name__ == "__main__":
    app()
