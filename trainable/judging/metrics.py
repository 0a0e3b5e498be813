"""What an epoch reports: one table, of which `objective.metric` names an entry.

To add a metric, register one more here: a function of the predictions on the validation images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from trainable.config.costs import cost_rows
from trainable.judging.metric import Compute, Metric, validation_metric

if TYPE_CHECKING:
    from trainable.config import ObjectiveConfig
    from trainable.judging.label_measures import LabelDraw
    from trainable.judging.measures import Draw
    from trainable.judging.predictions import Predictions

    AnyDraw = Predictions | Draw | LabelDraw

EPOCH_METRICS: Final = ("train_loss", "train_acc", "val_loss", "val_acc", "epoch_seconds")
"""What every epoch reports, whatever the objective: losses in nats, accuracies from 0 to 1."""

__all__ = ["EPOCH_METRICS", "Metric", "validation_metric"]


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
