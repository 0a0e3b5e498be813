"""A metric from outside: agreement beyond chance."""

from __future__ import annotations

from sklearn.metrics import cohen_kappa_score

from trainable.judging.metrics import validation_metric
from trainable.judging.predictions import Predictions


@validation_metric("val_kappa", "kappa", "maximize")
def kappa(predictions: Predictions) -> float:
    """Cohen's kappa (1960), -1 to 1."""
    return float(cohen_kappa_score(predictions.labels, predictions.logits.argmax(1)))
