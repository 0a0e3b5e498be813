"""MLflow's database in a file, made whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mlflow import MlflowClient

from trainable.files.places import Place

_FILE: Final = "sqlite:///"


def make_database(uri: str) -> None:
    """Make MLflow's database aside, and then rename it, unless it is there.

    MLflow makes it in seconds and many steps, and cannot go on with half of one.

    Args:
        uri: The tracking URI; of anything else than an SQLite file nothing is made.
    """
    if not uri.startswith(_FILE):
        return
    path = Path(uri.removeprefix(_FILE))
    place = Place(path.parent)
    place.clear_halves(path.name, spare_running=True)
    if place.exists(path.name):
        return
    with place.aside(path.name, replace=False) as aside:  # another process may be quicker
        aside.touch(mode=0o600)  # SQLite takes an empty file, and its owner alone may read it
        MlflowClient(f"{_FILE}{aside}").search_experiments(max_results=1)
