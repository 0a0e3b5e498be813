"""Every name under which something stands in MLflow; :mod:`tune.tracking.tags` reads them.

A name never changes: what an older version has recorded is read by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trainable.judging.objective import Objective

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    Version: TypeAlias = ModelVersion
    """For those who hand a registered version on, and do not import MLflow."""

OWN: Final = "tune."
"""What the names of our tags begin with."""


class Tag:
    """Tags of runs and of registered versions. Plain text: a driver may write an enum otherwise."""

    KIND: Final = "tune.kind"
    """`search`, or a :data:`~tune.study.search.Kind`."""
    SEARCH: Final = "tune.search"
    IDENTITY: Final = "tune.identity"
    DATA: Final = "tune.data"
    WEIGHTS: Final = "tune.weights"
    NUMBER: Final = "tune.number"
    CONFIG: Final = "tune.config"
    FIRST_POINT: Final = "tune.first_point"
    """On a trial that was tried first: the point's name, and why it was tried."""
    STATE: Final = "tune.state"
    ERROR: Final = "tune.error"
    CUT_SHORT: Final = "tune.cut_short"
    """On a trial that ended because its search's time was up; on a model of a search with a time
    budget, the epoch that it was cut short at, or :data:`NO`."""
    BEST_RUN: Final = "tune.best_run"
    """The id of the run whose weights a search's model has, or the ids of a soup's runs."""
    BEST_TRIAL: Final = "tune.best_trial"
    CANDIDATE: Final = "tune.candidate"
    INGREDIENTS: Final = "tune.ingredients"
    CONFIRMED_OVER: Final = "tune.confirmed_over"
    """What the winner's mean is over, in words: `5 folds`, `2 other seeds`."""
    DECISION: Final = "tune.decision"
    VERSION: Final = "tune.version"
    """The number of the version that a search has registered."""
    PROMOTED: Final = "tune.promoted"
    """Stands on versions of which it is decided: :data:`YES` if they became the champion, else
    :data:`NO`, or :data:`ROLLED_BACK`."""
    OBJECTIVE: Final = "tune.objective"
    P_VALUE: Final = "tune.p_value"
    DIFFERENCE: Final = "tune.difference"
    MOST_LOST: Final = "tune.worse_at_most"
    BEST_CHAMPION: Final = "tune.best_champion"
    """The version that was the best champion once this one was promoted, and what may be better."""
    PREVIOUS: Final = "tune.previous_champion"
    """On a version that was promoted by hand: the champion that it replaced."""
    TEST_COUNT: Final = "tune.test_count"
    """The number of images that a version was tested on."""
    TEST_IMAGES: Final = "tune.test_images"
    """A sketch of the images by which a version met the champion: see :mod:`tune.models.judged`."""
    DEVICE: Final = "tune.device"
    """With those that follow, what a trial's metrics depend on: see :func:`facts_as_tags`."""
    PRECISION: Final = "tune.precision"
    THREADS: Final = "tune.threads"
    MICRO_BATCHES: Final = "tune.micro_batches"
    COMPILED: Final = "tune.compiled"
    PROCESSOR: Final = "tune.processor"
    EXPERIMENT_KIND: Final = "mlflow.experimentKind"


class Artifact:
    """Files of a search's run, and what a registered model consists of."""

    CONFIG: Final = "config.yaml"
    TEST: Final = "test.json"
    DATA: Final = "data.html"
    """The page about the images, there from the start of a search."""
    PREDICTIONS: Final = "test_predictions.npz"
    MODEL: Final = "model"
    CLASSIFIER: Final = "classifier"
    REPORT: Final = "report.html"
    CARD: Final = "MODEL_CARD.md"
    """On a search's run and among the files of the version that it registered."""


YES: Final = "yes"
NO: Final = "no"
ROLLED_BACK: Final = "rolled back"
"""What :attr:`Tag.PROMOTED` says of a champion that was taken back."""
SEARCH_KIND: Final = "search"
REFIT_KIND: Final = "refit"
INTERRUPTED: Final = "INTERRUPTED"
"""The state of a trial whose search may go on; all others are Optuna's."""
SOURCE: Final = "tune.search"
"""What MLflow shows as the source of a run."""
TEST_ACC: Final = "test_acc"
TEST_LOSS: Final = "test_loss"
"""Without the calibration, as losses of epochs are."""
BEST_EPOCH: Final = "best_epoch"
"""Of a trial, with :func:`best`: its other metrics, in a table, are of its last epoch."""
TEMPERATURE: Final = "temperature"
UNSURE_BELOW: Final = "unsure_below"
"""With the temperature, the model's calibration: see :mod:`trainable.inference.calibration`."""
TEST_CALIBRATION_ERROR: Final = "test_calibration_error"
"""The expected calibration error of the calibrated model."""
TEST_SURE: Final = "test_sure"
"""The share of the test images whose answer is sure."""
TEST_SURE_ACC: Final = "test_sure_acc"
"""The accuracy on those."""
LATENCY: Final = "model_seconds_an_image"
"""The seconds that a search's model took for an image, alone, as it is served."""
OBJECTIVE_PARAM: Final = "objective.metric"


def epoch_metric(name: str, kind: str) -> str:
    """What a metric of an epoch is called on the run of a trial.

    Args:
        name: As the trial reports it.
        kind: The trial's. A refit has trained on the validation images too: what it reports of
            them, such as `val_acc`, is `known_val_acc`.
    """
    return f"known_{name}" if kind == REFIT_KIND and name.startswith("val_") else name


def best(objective: Objective) -> str:
    """Name of the best trial's value on a search's run, and of the best epoch's on a trial's."""
    return f"best_{objective.name}"


def candidate_score(candidate: str, objective: Objective) -> str:
    """Name of what the run, the soup or the refit that won is known to reach."""
    return f"{candidate}_{objective.name}"


def confirmed(objective: Objective) -> str:
    """Name of the winner's mean over seeds or folds."""
    return f"confirmed_{objective.name}"


def spread(objective: Objective) -> str:
    """Name of the standard deviation of the winner's values over seeds or folds."""
    return f"{confirmed(objective)}_spread"


def champion_score(objective: Objective) -> str:
    """Tag for what the champion reached that a version was compared with."""
    return f"{OWN}champion_{objective.on('test')}"


def cost_metric(kind: str) -> str:
    """Name of the metric that says what a trial's model costs, by `strategy.cost`."""
    return {"size": "model_megabytes", "seconds": "seconds_an_image"}[kind]


def space_param(key: str) -> str:
    """Name of the parameter that holds what a search may choose from for a key."""
    return f"space.{key}"


def facts_as_tags(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial's metrics depend on besides its config, as tags."""
    return {f"{OWN}{name}": value for name, value in facts.items()}
