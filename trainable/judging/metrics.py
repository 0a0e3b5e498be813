"""What an epoch reports, and which of it a search is after: one table for everything that asks.

Whoever trains, compares, shows or registers goes by :class:`Objective`, so that "better" means the
same in a checkpoint, a study, a soup and the gate. To add a metric, register one more here: a
function of the predictions on the validation images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final, Literal

from trainable.config.costs import cost_rows
from trainable.judging.metric import Compute, Metric, validation_metric
from trainable.registries import METRICS, PLUGINS

if TYPE_CHECKING:
    from trainable.config import ObjectiveConfig
    from trainable.judging.label_measures import LabelDraw
    from trainable.judging.measures import Draw
    from trainable.judging.predictions import Predictions

    AnyDraw = Predictions | Draw | LabelDraw

EPOCH_METRICS: Final = ("train_loss", "train_acc", "val_loss", "val_acc", "epoch_seconds")
"""What every epoch reports, whatever the objective: losses in nats, accuracies from 0 to 1."""

__all__ = ["EPOCH_METRICS", "Metric", "Objective", "round_to", "validation_metric"]

_SPLITS: Final = {"train": "training", "val": "validation", "test": "test"}


@validation_metric(
    "val_acc", "accuracy", "maximize", is_share=True, hits=lambda predictions: predictions.right
)
def accuracy(predictions: Predictions) -> float:
    """Share of right answers."""
    return predictions.accuracy


@validation_metric("val_loss", "loss", "minimize")
def loss(predictions: Predictions) -> float:
    """Mean cross-entropy, in nats, without weights of classes."""
    return predictions.loss


@validation_metric(
    *("val_balanced_acc", "balanced accuracy", "maximize"),
    is_share=True,
    by_class=True,
    is_light=True,
    of="one",
)
def balanced_accuracy(predictions: Predictions | Draw) -> float:
    """Mean of the classes' recalls."""
    return predictions.balanced_accuracy


@validation_metric(
    "val_macro_f1", "macro F1", "maximize", is_share=True, by_class=True, is_light=True
)
def macro_f1(predictions: AnyDraw) -> float:
    """Mean of the classes' F1."""
    return predictions.macro_f1


@validation_metric("val_micro_f1", "micro F1", "maximize", is_share=True, is_light=True)
def micro_f1(predictions: AnyDraw) -> float:
    """F1 of all labels of all images together; of one label an image, the accuracy."""
    return predictions.micro_f1


@validation_metric(
    "val_map", "mAP", "maximize", is_share=True, by_class=True, of_labels=False, is_light=True
)
def mean_average_precision(predictions: AnyDraw) -> float:
    """Mean of the classes' average precisions."""
    return predictions.mean_average_precision


def _of_some_classes(_: ObjectiveConfig, classes: Sequence[str]) -> Compute:
    if len(classes) < 2:
        raise ValueError("val_auroc needs two classes at least, and there is one")
    return auroc


@validation_metric(
    *("val_auroc", "AUROC", "maximize"),
    is_share=True,
    by_class=True,
    of_labels=False,
    is_light=True,
    bind=_of_some_classes,
)
def auroc(predictions: AnyDraw) -> float:
    """Mean of the areas under the classes' ROC curves, each against the rest."""
    return predictions.auroc


def _of_many_classes(_: ObjectiveConfig, classes: Sequence[str]) -> Compute:
    if len(classes) <= 5:
        raise ValueError(
            f"val_top5_acc is always 1 with {len(classes)} classes: give another objective.metric"
        )
    return top5_accuracy


@validation_metric(
    *("val_top5_acc", "top-5 accuracy", "maximize"),
    is_share=True,
    is_light=True,
    hits=lambda predictions: predictions.in_top,
    of="one",
    bind=_of_many_classes,
)
def top5_accuracy(predictions: Predictions | Draw) -> float:
    """Share of the images whose class is among the first five answers."""
    return predictions.top_accuracy


def _of_costs(config: ObjectiveConfig, classes: Sequence[str]) -> Compute:
    rows = cost_rows(config.costs or (), classes)
    return lambda predictions: predictions.mean_cost(rows)


@validation_metric(
    "val_cost", "cost", "minimize", of_labels=True, is_light=True, of="one", bind=_of_costs
)
def cost(_: Predictions | Draw) -> float:
    """Mean cost of an answer; what mistakes cost, the config says, by the names of classes."""
    raise AssertionError("the cost is computed by what Objective.of has bound to the classes")


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
