"""What the chosen model of a search answered to the test images, as its run has it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from trainable.judging.predictions import Predictions
from tune.study.search import Search
from tune.tracking.queries import find_parent
from tune.tracking.schema import Artifact
from tune.tracking.server import is_there, open_client
from tune.tracking.tags import SearchTags


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's answers to the test images.

    Attributes:
        identity: Tags that no other model of its search has.
        fingerprint: The test images', their labels' and their classes'.
        right: Whether the answer was right, for each image; shape (N,).
        loss: Mean cross-entropy in nats, where it is recorded.
        served: Whether the model answered as it does in a server, from its files.
    """

    identity: Mapping[str, str]
    fingerprint: str
    right: NDArray[np.bool_]
    loss: float | None
    served: bool

    def is_of(self, version: ModelVersion) -> bool:
        """Whether these are a version's answers, and not those of a later winner of its search."""
        return bool(version.tags.items() >= self.identity.items())

    def summarizes(self, predictions: Predictions) -> bool:
        """Whether predictions are these answers: the two files are not written at once."""
        return bool(
            np.array_equal(self.right, predictions.right)
            and self.loss is not None
            and math.isclose(self.loss, predictions.loss, rel_tol=1e-4, abs_tol=1e-6)
        )


def write_evaluation(
    client: MlflowClient,
    run_id: str,
    test: Predictions,
    classes: Sequence[str],
    identity: Mapping[str, str],
    fingerprint: str,
) -> None:
    """Put a model's answers on its search's run, in numbers and as they are.

    Args:
        client: For the record.
        run_id: The search's run.
        test: The model's predictions.
        classes: Their names.
        identity: Tags that no other model of the search has.
        fingerprint: The test images'.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / Artifact.PREDICTIONS
        test.save(path)
        client.log_artifact(run_id, str(path))
    summary = {
        **test.summary(classes),
        "identity": dict(identity),
        "fingerprint": fingerprint,
        "served": True,
        "right": "".join("01"[answer] for answer in test.right.astype(int)),
    }
    client.log_dict(run_id, summary, Artifact.TEST)


def read_evaluation(client: MlflowClient, run_id: str) -> Evaluation:
    """The answers that a search's run has.

    Raises:
        MlflowException, OSError: They are not there, or MLflow is away.
        KeyError, ValueError: They are of another make.
    """
    with TemporaryDirectory() as folder:
        path = client.download_artifacts(run_id, Artifact.TEST, folder)
        found: dict[str, Any] = json.loads(Path(path).read_text())
    right = np.array([answer == "1" for answer in found["right"]])
    return Evaluation(
        found["identity"],
        found["fingerprint"],
        right,
        found.get("loss"),
        bool(found.get("served")),
    )


def read_predictions(client: MlflowClient, run_id: str) -> Predictions:
    """The predictions that a search's run has.

    Raises:
        MlflowException, OSError: They are not there, or MLflow is away.
        ValueError: They are of another make.
    """
    with TemporaryDirectory() as folder:
        path = client.download_artifacts(run_id, Artifact.PREDICTIONS, folder)
        return Predictions.load(Path(path))


def read_outcome(search: Search) -> tuple[Predictions | None, SearchTags | None]:
    """The predictions of a search's model and the tags of its run, as far as they are recorded."""
    if not is_there(search.config.tracking.uri):
        return None, None
    client = open_client(search.config.tracking.uri)
    try:
        parent = find_parent(client, search)
        if parent is None:
            return None, None
        return read_predictions(client, parent.info.run_id), SearchTags.of(parent)
    except (MlflowException, OSError):
        return None, None
