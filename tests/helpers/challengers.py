"""Models that are as good as a test wants them, for the registry."""

from __future__ import annotations

import torch
from mlflow import MlflowClient

from tests.helpers.commands import DIGITS
from trainable.data.datasets import Dataset
from trainable.data.seen import Seen
from trainable.inference.classifier import Classifier
from trainable.inference.spec import Spec
from trainable.judging.predictions import Predictions
from trainable.network.cut_network import build
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.models.registration import Challenger
from tune.tracking.evaluation import write_evaluation

NAME = "resnet18-digits"


def config_of(rule: str, *words: str) -> SearchConfig:
    """A search of the digits whose winner is promoted by a rule."""
    return load_config(DIGITS, [f"registry.promote={rule}", *words])


def classifier_of(
    classes: tuple[str, ...], seen: Seen | None = None, arch: str = "resnet18"
) -> Classifier:
    """One with random weights, which says that it has seen these images."""
    weights = build(arch, num_classes=len(classes), depth=0).net.state_dict()
    return Classifier(Spec(arch, classes, 8, 16), weights, seen)


def answers(dataset: Dataset, right: int, sure: float = 9.0) -> Predictions:
    """Predictions that are right about the first so many test images, and as sure of all."""
    labels = dataset.test.labels
    answer = labels + (torch.arange(len(labels)) >= right).long()
    logits = torch.nn.functional.one_hot(answer % len(dataset.classes), len(dataset.classes))
    return Predictions(sure * logits.float(), labels)


def challenger_of(classifier: Classifier, dataset: Dataset, test: Predictions) -> Challenger:
    """A winner that says so of the test images."""
    return Challenger(classifier, dataset, test, identity_of(test), {})


def identity_of(test: Predictions) -> dict[str, str]:
    """Tags that another winner does not have."""
    return {"tune.best_trial": str(int(test.right.sum()))}


def record(client: MlflowClient, run_id: str, dataset: Dataset, test: Predictions) -> None:
    """Put a winner's answers on its run."""
    fingerprint = dataset.test_fingerprint()
    write_evaluation(client, run_id, test, dataset.classes, identity_of(test), fingerprint)


def new_run(client: MlflowClient) -> str:
    """Id of a new run of the digits."""
    experiment = client.get_experiment_by_name("digits")
    known = client.create_experiment("digits") if experiment is None else experiment.experiment_id
    return str(client.create_run(known).info.run_id)
