"""What the tags of a run or of a registered version say, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.inference.calibration import Calibration
from trainable.judging.objective import Objective
from tune.tracking.schema import (
    LATENCY,
    OBJECTIVE_PARAM,
    TEMPERATURE,
    TEST_ACC,
    UNSURE_BELOW,
    YES,
    Tag,
    candidate_score,
    confirmed,
)

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion


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
        tags = run.data.tags
        return cls(
            device=tags[Tag.DEVICE],
            precision=tags[Tag.PRECISION],
            threads=int(tags[Tag.THREADS]),
            micro_batches=int(tags[Tag.MICRO_BATCHES]),
            compiled=tags.get(Tag.COMPILED) == "True",
            processor=tags[Tag.PROCESSOR],
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
        won = candidate_score(tags.get(Tag.CANDIDATE, ""), objective)
        return cls(
            identity=tags[Tag.IDENTITY],
            data=tags[Tag.DATA],
            weights=tags[Tag.WEIGHTS],
            ingredients=tuple(tags.get(Tag.INGREDIENTS, "").split()),
            score=run.data.metrics.get(won),
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
        test_count: The number of images that it was tested on; None of older versions.
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
    test_count: int | None = None

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
            promoted=None if promoted is None else promoted == YES,
            previous=tags.get(Tag.PREVIOUS),
            best_champions=tuple(tags.get(Tag.BEST_CHAMPION, "").split()),
            test_images=tags.get(Tag.TEST_IMAGES),
            test_count=int(tags[Tag.TEST_COUNT]) if Tag.TEST_COUNT in tags else None,
        )

    @property
    def sureness(self) -> str:
        """What so few test images leave possible of the accuracy; empty where it is not known."""
        if self.accuracy is None or not self.test_count:
            return ""
        from trainable.judging.predictions import share_interval

        count = self.test_count
        low, high = share_interval(round(self.accuracy * count), count)
        return f"95 % interval {low:.2%} to {high:.2%}, on {count} images"

    @property
    def tested(self) -> str:
        """The accuracy with what so few images leave possible; empty where that is not known."""
        if self.accuracy is None or not self.sureness:
            return ""
        return f"test accuracy {self.accuracy:.2%} ({self.sureness})"


def _objective(name: str | None) -> Objective:
    """The objective of that name; of a record without one it is the accuracy."""
    return Objective.named(name or "val_acc")


def _calibration(metrics: Mapping[str, float]) -> Calibration | None:
    if TEMPERATURE not in metrics or UNSURE_BELOW not in metrics:
        return None
    return Calibration(metrics[TEMPERATURE], metrics[UNSURE_BELOW])


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
