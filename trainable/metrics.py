"""What an epoch reports, and which of it a search is after: one table for everything that asks.

Whoever trains, compares, shows or registers goes by :class:`Objective`, so that "better" means the
same in a checkpoint, a study, a soup and the gate. To add a metric, register one more here: a
function of the predictions on the validation images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final, Literal

from trainable.registries import METRICS, PLUGINS

if TYPE_CHECKING:
    from trainable.predictions import Predictions

Goal = Literal["maximize", "minimize"]
Compute = Callable[["Predictions"], float]

EPOCH_METRICS: Final = ("train_loss", "train_acc", "val_loss", "val_acc", "epoch_seconds")
"""What every epoch reports, whatever the objective: losses in nats, accuracies from 0 to 1."""

_SPLITS: Final = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Metric:
    """A measure of predictions that a search can be after.

    Attributes:
        name: As an epoch reports it and a config names it, such as `val_acc`.
        quantity: The same in words, without the split: `accuracy`.
        goal: Whether more of it is better, or less.
        of: Computes it from predictions.
        is_share: Whether it goes from 0 to 1 and is shown in percent.
    """

    name: str
    quantity: str
    goal: Goal
    of: Compute
    is_share: bool = False


def validation_metric(
    name: str, quantity: str, goal: Goal, *, is_share: bool = False
) -> Callable[[Compute], Compute]:
    """A decorator that registers a function of predictions as an objective.

    Args:
        name: For configs, records and studies; it starts with `val_`.
        quantity: In words, without the split.
        goal: `maximize` or `minimize`.
        is_share: Whether it goes from 0 to 1.
    """
    if not name.startswith("val_"):
        raise ValueError(f"metric {name}: a name starts with val_, since only validation selects")

    def add(compute: Compute) -> Compute:
        METRICS.register(name)(Metric(name, quantity, goal, compute, is_share))
        return compute

    return add


@validation_metric("val_acc", "accuracy", "maximize", is_share=True)
def accuracy(predictions: Predictions) -> float:
    """Share of right answers."""
    return predictions.accuracy


@validation_metric("val_loss", "loss", "minimize")
def loss(predictions: Predictions) -> float:
    """Mean cross-entropy, in nats."""
    return predictions.loss


@dataclass(frozen=True)
class Objective:
    """What a search is after, and so what "better" means.

    Args:
        metric: One of :data:`~trainable.registries.METRICS`.
    """

    metric: Metric

    @classmethod
    def named(cls, name: str) -> Objective:
        """The objective that `objective.metric` names.

        Raises:
            ValueError: It is not registered, as that of a plugin that is not listed now.
        """
        if name not in METRICS:
            raise ValueError(f"objective.metric={name} is not registered here: see {PLUGINS}")
        return cls(METRICS[name])

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
        return EPOCH_METRICS if self.name in EPOCH_METRICS else (*EPOCH_METRICS, self.name)

    def score(self, epoch: Mapping[str, float]) -> float:
        """Its value in the metrics of an epoch."""
        return epoch[self.name]

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


def round_to(value: Decimal, places: int, rounding: str) -> Decimal:
    """A number with so many decimal places, which may be negative."""
    return value.quantize(Decimal(1).scaleb(-places), rounding)
