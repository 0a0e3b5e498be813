"""The options and arguments that several commands have."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated

import typer

from tune.config.presets import DEFAULT, presets

OverridesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)
]


def _configs(incomplete: str) -> list[str]:
    """What the shell offers for `--config`: presets, then YAML files."""
    files = map(str, Path().glob(f"{glob.escape(incomplete)}*.y*ml"))
    return [*(name for name in presets() if name.startswith(incomplete)), *sorted(files)]


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|PRESET",
        help=f"The config: a YAML file or the name of a preset; by default {DEFAULT}.",
        show_default=False,
        autocompletion=_configs,
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST[:PORT]|auto",
        help="The Ray cluster to run on; by default RAY_ADDRESS, else a Ray of its own.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="The model: a registered one's name, which means its champion, models:/NAME@ALIAS, "
        "models:/NAME/VERSION, a folder with a classifier, or imagenet; by default the champion of "
        "the only registered model.",
        show_default=False,
    ),
]
UriOption = Annotated[
    str | None,
    typer.Option(
        "--uri",
        help="MLflow's tracking URI; by default MLFLOW_TRACKING_URI, else mlflow.db here.",
    ),
]
