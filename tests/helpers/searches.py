"""Searches that tests look at."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS, SMALL, run_module

ALONE = (
    "--config",
    str(DIGITS),
    *SMALL,
    "confirm.top_k=2",
    "confirm.seeds=2",
)
"""One trial at a time, and the two best ran again under two other seeds: `finished_search`."""


@dataclass(frozen=True)
class FinishedSearch:
    """A search that ran in a folder of its own.

    Attributes:
        folder: Its working directory.
        output: What it printed.
    """

    folder: Path
    output: str

    @property
    def uri(self) -> str:
        """MLflow's tracking URI."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def client(self) -> MlflowClient:
        """The client of its record."""
        return MlflowClient(self.uri)

    @property
    def study_path(self) -> Path:
        """The file of Optuna's storage."""
        return self.folder / "mlruns" / "optuna.db"

    @property
    def study_url(self) -> str:
        """Optuna's storage."""
        return f"sqlite:///{self.study_path}"

    def runs(self, kind: str) -> list[Run]:
        """The runs of a kind: `search`, `trial` or `confirm`, in the order of their trials."""
        return runs(self.client, kind)


def runs(client: MlflowClient, kind: str) -> list[Run]:
    """The digits' runs of a kind, `search` or `trial`, in the order of their trials."""
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.`tune.kind` = '{kind}'")
    return sorted(found, key=lambda run: int(run.data.tags.get("tune.number", 0)))


def statuses(folder: Path) -> list[str]:
    """The statuses of a search's run and of its trials', as far as they are recorded."""
    if not (folder / "mlflow.db").exists():
        return []
    search = FinishedSearch(folder, "")
    if search.client.get_experiment_by_name("digits") is None:
        return []
    return [run.info.status for kind in ("search", "trial") for run in search.runs(kind)]


def histories(search: FinishedSearch, name: str) -> list[list[tuple[int, float]]]:
    """The steps and values of a metric, of every trial."""
    client = search.client
    ids = [run.info.run_id for run in search.runs("trial")]
    return [[(m.step, m.value) for m in client.get_metric_history(run, name)] for run in ids]


def trials_in(folder: Path, name: str = "first") -> list[optuna.trial.FrozenTrial]:
    """The trials of a search that were started, whether they have ended or not."""
    study = optuna.load_study(
        study_name=name, storage=f"sqlite:///{folder / 'mlruns' / 'optuna.db'}"
    )
    return [trial for trial in study.trials if trial.state is not TrialState.WAITING]


def epochs_in(folder: Path, name: str = "first") -> int:
    """The number of epochs that the study of a running search holds, 0 before there is one.

    It reads the storage as it is: Optuna would make one, or wait for the search's own writes.
    """
    path = folder / "mlruns" / "optuna.db"
    query = """
        SELECT count(*) FROM trial_intermediate_values JOIN trials USING (trial_id)
        JOIN studies USING (study_id) WHERE study_name = ?
    """
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as storage:
            return int(storage.execute(query, (name,)).fetchone()[0])
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return 0


def run_search(folder: Path, *words: str) -> None:
    """Run a search of five small trials in a folder, and note what it printed."""
    done = run_module("tune.search", "--num-samples=5", "--name=first", *words, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    (folder / "output.txt").write_text(done.stdout)


def copied(source: Path, folder: Path) -> FinishedSearch:
    """A copy of a search's folder, which a test may change."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    relocate(folder, str(source))
    output = folder / "output.txt"
    return FinishedSearch(folder, output.read_text() if output.exists() else "")


def relocate(folder: Path, before: str) -> None:
    """Tell MLflow's database that its artifacts lie in this folder now."""
    places = {
        "experiments": ["artifact_location"],
        "runs": ["artifact_uri"],
        "model_versions": ["source", "storage_location"],
        "logged_models": ["artifact_location"],
    }
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        for table, columns in places.items():
            for column in columns:
                database.execute(
                    f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (before, str(folder))
                )
