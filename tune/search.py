"""`python -m tune.search`: search, record and register; or resume a search."""

from __future__ import annotations

from typing import Annotated

import typer

from tune.base.environment import connect_to
from tune.base.errors import DONE, ConfigError
from tune.cli import AddressOption, ConfigOption, Door, OverridesArgument, open_console
from tune.config.loading import config_text
from tune.engine.foreground import run_request
from tune.engine.request import Request
from tune.engine.signals import catch_signals

app = Door("tune.search")


@app.command()
def main(
    overrides: OverridesArgument = None,
    config: ConfigOption = None,
    num_samples: Annotated[
        str | None, typer.Option(metavar="N", help="The number of trials.")
    ] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="The time for all of it, resumes included: 90s, 30m, 1h30m or 2d."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE", help="The validation accuracy (or other objective) that is enough."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The search's name; by default the config's name and the time.",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Resume this search, up to --num-samples trials if given."
        ),
    ] = None,
    resume_or_start: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Resume this search if it was started, on any machine; else start it. For jobs "
            "that are restarted.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URI",
            help="Where checkpoints lie for all machines of a cluster, such as s3://bucket/prefix "
            "(tracking.storage); by default TUNE_STORAGE, else this folder.",
        ),
    ] = None,
    address: AddressOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what would be tried first and why; start nothing, and write nothing but "
            "decoded images into the cache.",
        ),
    ] = False,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print the config, to start one's own from."),
    ] = False,
) -> int:
    """Search hyperparameters for fine-tuning an image classifier, and register the best checkpoint.

    KEY=VALUE sets one key of the config, such as `data.limit=2000` or
    `resources.gpu=0.25`. A searched key that is set is no longer searched.

    A search that was killed, was interrupted or ran out of disk space can be resumed where it
    stopped: its trials are stored in `mlruns/searches/NAME` and in Optuna's storage.

    Examples:
    `python -m tune.search --num-samples 20`

    `python -m tune.search --config image_folder data.root=photos`

    `python -m tune.search --resume digits-20260131-120000`

    `python -m tune.search --address auto --storage s3://bucket/searches --resume-or-start night`

    `python -m tune.search --dry-run`

    `python -m tune.search --print-config --config image_folder > photos.yaml`

    Exit code: 0 done, 1 failed, 2 a mistake in the command or the config, 130 interrupted.
    """
    catch_signals()
    connect_to(address)
    given = {"num_samples": num_samples, "time": time_budget, "target": target}
    budget = {key: value for key, value in given.items() if value is not None}
    asked = Request(config, overrides or [], budget, storage, name, resume, resume_or_start)
    if print_config:
        if resume is not None or dry_run:
            raise ConfigError("--print-config goes along with neither --resume nor --dry-run")
        print(config_text(config, asked.words), end="")
        return DONE
    return run_request(asked, open_console(), app.complain, dry_run=dry_run)


if __name__ == "__main__":
    app()
