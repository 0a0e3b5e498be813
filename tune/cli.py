"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="models:/NAME@ALIAS, models:/NAME/VERSION, a folder with a classifier, or "
        "imagenet; by default the champion of the only registered model.",
        show_default=False,
    ),
]
UriOption = Annotated[
    str | None,
    typer.Option("--uri", help="MLflow's; by default MLFLOW_TRACKING_URI, else mlflow.db here."),
]
