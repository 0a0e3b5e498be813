"""The champion of now, as what a challenger is compared with."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from trainable.data.datasets import Dataset
from trainable.inference.scoring import score
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from tune.base.errors import first_line
from tune.models.comparison import ACCURACY, Comparison, compare_answers, compare_predictions
from tune.models.lookup import UNREADABLE, load_registered
from tune.models.unseen import IncomparableError, unseen_images
from tune.tracking.client import raise_passing
from tune.tracking.evaluation import Evaluation, read_evaluation, read_predictions

_UNRECORDED: Final = (MlflowException, OSError, KeyError, ValueError)
"""What is raised where a record is not there, or of another make."""


def compare_with(
    client: MlflowClient,
    champion: ModelVersion,
    dataset: Dataset,
    test: Predictions,
    objective: Objective,
    alpha: float,
) -> Comparison:
    """Compare a challenger with the champion on the challenger's test images.

    Images that either of them has seen, in training or validation, are left out, and duplicates of
    such images too. The champion's answers are those that its own search recorded, if that was of
    the same images; else it is shown these.

    Args:
        client: For the record and the registry.
        champion: The version that is the champion.
        dataset: The challenger's.
        test: What the challenger says of its test images.
        objective: What they are compared by.
        alpha: One minus the interval's confidence.

    Raises:
        IncomparableError: The champion has other classes, or cannot be read, or it has seen too
            many of the images, or which it has seen cannot be known.
    """
    evaluation = _evaluation(client, champion, dataset)
    judged = evaluation is not None
    recorded = evaluation if evaluation and _is_as_served(evaluation, champion) else None
    if objective.metric == ACCURACY.metric:
        right = recorded.right if recorded else _shown(client, champion, dataset).right
        unseen = unseen_images(client, champion, dataset, judged_on_them=judged)
        found = compare_answers(right[unseen], test.right[unseen], alpha)
    else:
        predictions = recorded and _recorded_predictions(client, champion, recorded)
        predictions = predictions or _shown(client, champion, dataset)
        unseen = unseen_images(client, champion, dataset, judged_on_them=judged)
        found = compare_predictions(objective, predictions.at(unseen), test.at(unseen), alpha)
    return replace(found, left_out=int((~unseen).sum()))


def _evaluation(
    client: MlflowClient, champion: ModelVersion, dataset: Dataset
) -> Evaluation | None:
    """What the champion's run has of a test, if that was of these images."""
    try:
        found = read_evaluation(client, champion.run_id)
    except _UNRECORDED as error:
        raise_passing(error)
        return None
    return found if found.fingerprint == dataset.test_fingerprint() else None


def _is_as_served(found: Evaluation, champion: ModelVersion) -> bool:
    """Whether answers are the champion's own.

    A search that went on with more trials has recorded the answers of its new winner since; one
    of an older version, those of its network as it was trained, and not as it is served.
    """
    return found.served and found.is_of(champion)


def _recorded_predictions(
    client: MlflowClient, champion: ModelVersion, recorded: Evaluation
) -> Predictions | None:
    try:
        found = read_predictions(client, champion.run_id)
    except _UNRECORDED as error:
        raise_passing(error)
        return None
    return found if recorded.summarizes(found) else None


def _shown(client: MlflowClient, champion: ModelVersion, dataset: Dataset) -> Predictions:
    """What the champion says of the test images.

    Raises:
        IncomparableError: It has other classes, or cannot be read.
    """
    try:
        classifier = load_registered(client, champion)
        if set(classifier.spec.classes) != set(dataset.classes):
            raise IncomparableError("has other classes")
        return score(classifier, dataset.test, dataset.classes)
    except (MlflowException, *UNREADABLE) as error:
        raise_passing(error)
        raise IncomparableError(f"cannot be read ({first_line(error)})") from error
