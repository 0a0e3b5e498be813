"""Every name under which something stands in MLflow, and what the tags of a run say, typed.

A name never changes: what an older version has recorded is read by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trainable.inference.calibration import Calibration
from trainable.judging.metrics import Objective

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

    Version: TypeAlias = ModelVersion
    """For those who hand a registered version on, and do not import MLflow."""

_OWN: Final = "tune."


class Tag:
    """Tags of runs and of registered versions. Plain text: a driver may write an enum otherwise."""

    KIND: Final = "tune.kind"
    """`search`, or a :data:`~tune.study.trial.Kind`."""
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
    budget, the epoch that it was cut short at, or `no`."""
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
    """Stands on versions of which it is decided: `yes` if they became the champion."""
    OBJECTIVE: Final = "tune.objective"
    P_VALUE: Final = "tune.p_value"
    DIFFERENCE: Final = "tune.difference"
    MOST_LOST: Final = "tune.worse_at_most"
    BEST_CHAMPION: Final = "tune.best_champion"
    """The version that was the best champion once this one was promoted, and what may be better."""
    PREVIOUS: Final = "tune.previous_champion"
    """On a version that was promoted by hand: the champion that it replaced."""
    TEST_IMAGES: Final = "tune.test_images"
    """A sketch of the images by which a version met the champion: see :mod:`tune.models.judged`."""
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
    return f"{_OWN}champion_{objective.on('test')}"


def cost_metric(kind: str) -> str:
    """Name of the metric that says what a trial's model costs, by `strategy.cost`."""
    return {"size": "model_megabytes", "seconds": "seconds_an_image"}[kind]


def space_param(key: str) -> str:
    """Name of the parameter that holds what a search may choose from for a key."""
    return f"space.{key}"


def facts_as_tags(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial's metrics depend on besides its config, as tags."""
    return {f"{_OWN}{name}": value for name, value in facts.items()}


@dataclass(frozen=True)
class TrialTags:
    """What the tags of a trial's run say.

    Attributes:
        kind: `trial`, `confirm` or `refit`.
        number: The trial's.
        config: The trial's config as JSON.
        state: Optuna's name of its state, or :data:`INTERRUPTED`; None while it runs.
        cut_short: Whether it ended because its search's time was up, and so may go on.
    """

    kind: str
    number: int
    config: str
    state: str | None
    cut_short: bool = False

    @classmethod
    def of(cls, run: Run) -> TrialTags | None:
        """Read a run; None if it is not a trial's."""
        tags = run.data.tags
        if Tag.NUMBER not in tags or Tag.CONFIG not in tags:
            return None
        number = int(tags[Tag.NUMBER])
        cut_short = Tag.CUT_SHORT in tags
        return cls(tags[Tag.KIND], number, tags[Tag.CONFIG], tags.get(Tag.STATE), cut_short)


@dataclass(frozen=True)
class FactTags:
    """What a trial's metrics depend on besides its config; see :data:`tune.study.trial.FACTS`."""

    device: str
    precision: str
    threads: int
    micro_batches: int
    compiled: bool
    processor: str

    @classmethod
    def of(cls, run: Run) -> FactTags:
        """Read a trial's run that has an epoch."""
        tags = {key.removeprefix(_OWN): value for key, value in run.data.tags.items()}
        return cls(
            device=tags["device"],
            precision=tags["precision"],
            threads=int(tags["threads"]),
            micro_batches=int(tags["micro_batches"]),
            compiled=tags.get("compiled") == "True",
            processor=tags["processor"],
        )


@dataclass(frozen=True)
class SearchTags:
    """What the run of a search says.

    Attributes:
        identity: The search's.
        data: Fingerprint of its images and their split.
        weights: Hash of the first weights, for each architecture, or `random`.
        ingredients: The names of the runs whose weights are in its model, once that is chosen.
        score: The model's value of the objective on the validation images.
        decision: The gate's, in words, once there is one.
        objective: What the search was after.
        calibration: The model's; None where it is older than that.
        version: The number of the version that was registered.
        latency: The seconds that the model took for an image.
    """

    identity: str
    data: str
    weights: str
    ingredients: tuple[str, ...]
    score: float | None
    decision: str
    objective: Objective
    calibration: Calibration | None = None
    version: int | None = None
    latency: float | None = None

    @classmethod
    def of(cls, run: Run) -> SearchTags:
        """Read a search's run."""
        tags, objective = run.data.tags, _objective(run.data.params.get(OBJECTIVE_PARAM))
        return cls(
            identity=tags[Tag.IDENTITY],
            data=tags[Tag.DATA],
            weights=tags[Tag.WEIGHTS],
            ingredients=tuple(tags.get(Tag.INGREDIENTS, "").split()),
            score=run.data.metrics.get(f"{tags.get(Tag.CANDIDATE)}_{objective.name}"),
            decision=tags.get(Tag.DECISION, ""),
            objective=objective,
            calibration=_calibration(run.data.metrics),
            version=int(tags[Tag.VERSION]) if Tag.VERSION in tags else None,
            latency=run.data.metrics.get(LATENCY),
        )


@dataclass(frozen=True)
class VersionTags:
    """What the tags of a registered version say.

    Attributes:
        objective: What its search was after.
        best_trial: Number of its search's winner, if a search made it.
        ingredients: The names of the runs whose weights are in it.
        accuracy: On the test images.
        test: The objective on the test images.
        confirmed: The winner's mean over seeds or folds.
        decision: The gate's, in words, once there is one.
        promoted: Whether it has been the champion and was not taken back; None while that is not
            decided.
        previous: The version that it replaced as the champion, if it was promoted by hand.
        best_champions: The best champion so far, as of this version's promotion, and those that may
            be better but could not be compared.
        test_images: A sketch of the images by which it met the champion, if there was one.
    """

    objective: Objective
    best_trial: str | None
    ingredients: tuple[str, ...]
    accuracy: float | None
    test: float | None
    confirmed: float | None
    decision: str
    promoted: bool | None
    previous: str | None
    best_champions: tuple[str, ...]
    test_images: str | None

    @classmethod
    def of(cls, version: ModelVersion) -> VersionTags:
        """Read a version."""
        tags = version.tags
        objective = _objective(tags.get(Tag.OBJECTIVE))
        promoted = tags.get(Tag.PROMOTED)
        return cls(
            objective=objective,
            best_trial=tags.get(Tag.BEST_TRIAL),
            ingredients=tuple(tags.get(Tag.INGREDIENTS, "").split()),
            accuracy=_number(tags.get(TEST_ACC)),
            test=_number(tags.get(objective.on("test"))),
            confirmed=_number(tags.get(confirmed(objective))),
            decision=tags.get(Tag.DECISION, ""),
            promoted=None if promoted is None else promoted == "yes",
            previous=tags.get(Tag.PREVIOUS),
            best_champions=tuple(tags.get(Tag.BEST_CHAMPION, "").split()),
            test_images=tags.get(Tag.TEST_IMAGES),
        )


def _objective(name: str | None) -> Objective:
    """The objective of that name; of a record without one it is the accuracy."""
    return Objective.named(name or "val_acc")


def _calibration(metrics: Mapping[str, float]) -> Calibration | None:
    if TEMPERATURE not in metrics or UNSURE_BELOW not in metrics:
        return None
    return Calibration(metrics[TEMPERATURE], metrics[UNSURE_BELOW])


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
