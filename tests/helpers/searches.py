"""Searches that tests look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run


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
        """Of its record."""
        return MlflowClient(self.uri)

    @property
    def study_path(self) -> Path:
        """File of Optuna's storage."""
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
