"""A metric from outside: the mean of the classes' recalls."""

from __future__ import annotations

from sklearn.metrics import balanced_accuracy_score

from trainable.metrics import validation_metric
from trainable.predictions import Predictions


@validation_metric("val_balanced_acc", "balanced accuracy", "maximize", is_share=True)
def balanced_accuracy(predictions: Predictions) -> float:
    """The mean of the classes' recalls, 0 to 1."""
    return float(balanced_accuracy_score(predictions.labels, predictions.logits.argmax(1)))
