"""What a search is after.

Whoever trains, compares, shows or registers goes by :class:`Objective`, so that "better" means the
same in a checkpoint, a study, a soup and the gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final, Literal

from trainable.judging.metric import Metric
from trainable.judging.metrics import EPOCH_METRICS
from trainable.registries import METRICS, PLUGINS

if TYPE_CHECKING:
    from trainable.config import ObjectiveConfig
    from trainable.judging.predictions import Predictions

_SPLITS: Final = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Objective:
    """What a search is after, and so what "better" means.

    Args:
        metric: One of :data:`~trainable.registries.METRICS`.
        also: Others of which epochs and the test report too.
    """

    metric: Metric
    also: tuple[Metric, ...] = ()

    @classmethod
    def named(cls, name: str) -> Objective:
        """The objective that `objective.metric` names, of which no predictions are measured.

        Raises:
            ValueError: It is not registered, as that of a plugin that is not listed now.
        """
        return cls(_registered(name))

    @classmethod
    def of(
        cls,
        config: ObjectiveConfig,
        classes: Sequence[str] | None = None,
        *,
        several: bool = False,
    ) -> Objective:
        """The objective of a config.

        Args:
            config: The `objective` section.
            classes: The names of the classes, in order; without them no predictions are measured.
            several: Whether an image may have any number of labels.

        Raises:
            ValueError: A metric is not registered, or cannot be computed of these classes.
        """
        first, *others = map(_registered, dict.fromkeys((config.metric, *config.also)))
        found = cls(first, tuple(others))
        return found if classes is None else found.bound(config, classes, several=several)

    def bound(
        self, config: ObjectiveConfig, classes: Sequence[str], *, several: bool = False
    ) -> Objective:
        """The same for predictions on these classes.

        Raises:
            ValueError: A metric cannot be computed of them.
        """
        unfit = next((each for each in self.metrics if several and each.of_one), None)
        if unfit is not None:
            raise ValueError(
                f"{unfit.name} is of images with one label each (data.labels=one): give val_map, "
                "val_micro_f1, val_macro_f1, val_auroc, val_acc or val_loss"
            )
        first, *others = (
            metric if metric.bind is None else replace(metric, of=metric.bind(config, classes))
            for metric in self.metrics
        )
        return Objective(first, tuple(others))

    @property
    def name(self) -> str:
        """Of its metric, such as `val_acc`."""
        return self.metric.name

    @property
    def maximizes(self) -> bool:
        """Whether more is better."""
        return self.metric.goal == "maximize"

    @property
    def epoch_metrics(self) -> tuple[str, ...]:
        """What an epoch reports when a search is after this."""
        names = (metric.name for metric in self.metrics)
        return (*EPOCH_METRICS, *(name for name in names if name not in EPOCH_METRICS))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Its metric, and what is reported beside it."""
        return (self.metric, *self.also)

    def measured(self, predictions: Predictions) -> dict[str, float]:
        """Its metrics of predictions on the validation images, by name."""
        return {metric.name: metric.of(predictions) for metric in self.metrics}

    def score(self, epoch: Mapping[str, float]) -> float:
        """Its value in the metrics of an epoch."""
        return epoch[self.name]

    @property
    def ranked_by(self) -> tuple[str, ...]:
        """The metrics of an epoch that :meth:`rank` goes by."""
        return tuple(dict.fromkeys((self.name, "val_loss")))

    def rank(self, epoch: Mapping[str, float]) -> tuple[float, float]:
        """What makes an epoch better than another: the objective, then the lower loss.

        Returns:
            The greater, the better, whether the objective is maximized or not.
        """
        return self.signed(epoch[self.name]), -epoch["val_loss"]

    def rank_of(self, predictions: Predictions) -> tuple[float, float]:
        """The same of predictions on any split."""
        return self.signed(self.metric.of(predictions)), -predictions.loss

    def signed(self, value: float) -> float:
        """A value turned so that the greater is the better."""
        return value if self.maximizes else -value

    def on(self, split: Literal["train", "val", "test"]) -> str:
        """Name of its value on a split: `test_acc`."""
        return f"{split}_{self.name.removeprefix('val_')}"

    def title(self, split: Literal["train", "val", "test"] = "val") -> str:
        """In words: `validation accuracy`."""
        return f"{_SPLITS[split]} {self.metric.quantity}"

    def show(self, value: float | None) -> str:
        """A value as people read it: `97.22%`, or four digits of what is no share."""
        if value is None:
            return "-"
        return f"{value:.2%}" if self.metric.is_share else f"{value:.4g}"

    def difference(self, value: float, rounding: str = ROUND_HALF_EVEN) -> str:
        """A difference as people read it: `0.6 points` of a share, else a number.

        Args:
            value: The difference.
            rounding: One of :mod:`decimal`'s: an upper bound is rounded up, to stay one.
        """
        exact = Decimal(repr(round(value, 9)))  # what floats add is no difference
        if not self.metric.is_share:
            places = 2 - exact.adjusted() if exact else 0
            return f"{float(round_to(exact, places, rounding)):.3g}"
        points = f"{round_to(100 * exact, 2, rounding):f}".rstrip("0").rstrip(".")
        return f"{points} point" if points == "1" else f"{points} points"


def _registered(name: str) -> Metric:
    if name not in METRICS:
        raise ValueError(f"objective.metric={name} is not registered here: see {PLUGINS}")
    metric: Metric = METRICS[name]
    return metric


def round_to(value: Decimal, places: int, rounding: str) -> Decimal:
    """A number with so many decimal places, which may be negative."""
    return value.quantize(Decimal(1).scaleb(-places), rounding)
