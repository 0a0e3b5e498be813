"""What a report tells: everything about a search that its figures and tables are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from optuna.study import Study, create_study
from optuna.trial import TrialState, create_trial

from trainable.config import MAX_DEPTH
from trainable.features.batches import views_of
from trainable.predictions import Predictions
from tune.reporting.results import SearchResults
from tune.study.distributions import distributions
from tune.study.trial import METRIC, TrialLog


def comparable_study(results: SearchResults) -> Study:
    """The trials as a study in which each has the value of the same epoch.

    A trial that was stopped has its last value, which is of an earlier epoch than that of one that
    was not: taken as they are, they would say that whatever was stopped is bad by what it was
    stopped at, and left out, that only the survivors matter. At the last epoch that all of them
    reached, they can be compared.
    """
    epoch = common_epoch(results)
    study = create_study(direction="maximize")
    for log in _comparable(results):
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=log.epochs[epoch - 1].metrics[METRIC],
                params=log.params,
                distributions=distributions(results.config),
            )
        )
    return study


def common_epoch(results: SearchResults) -> int:
    """The last epoch, from 1, that every trial has reached that was not broken before."""
    return min(len(log.epochs) for log in _comparable(results))


def _comparable(results: SearchResults) -> list[TrialLog]:
    whole = [log for log in results.trials if log.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    return whole or results.trials


def worst_mistakes(test: Predictions, count: int) -> NDArray[np.int64]:
    """Indices of the wrong answers that the model was surest of, the surest first."""
    confidence, answer = torch.from_numpy(test.probabilities).max(1)
    wrong = (answer != test.labels).nonzero().squeeze(1)
    return wrong[confidence[wrong].argsort(descending=True)][:count].numpy()


@dataclass(frozen=True)
class Compute:
    """What the trials took, and what the store of frozen layers' outputs saved.

    Attributes:
        seconds: Of all epochs together.
        epochs: Of all trials.
        asked: Images that had to pass the frozen layers, had every trial computed them.
        computed: Images that passed them, from an empty store.
    """

    seconds: float
    epochs: int
    asked: int
    computed: int

    @property
    def saved(self) -> float:
        """Share of the passes through frozen layers that were not computed, 0 to 1."""
        return 1 - self.computed / self.asked if self.asked else 0.0


def compute_of(results: SearchResults) -> Compute:
    """Add up the epochs of a search, by the keys under which the store keeps things."""
    asked, needed = 0, dict[tuple[object, ...], int]()
    for log in results.trials:
        trial = results.config.trial(log.params)
        depth = trial.model.unfreeze_depth
        if depth == MAX_DEPTH:  # nothing is frozen
            continue
        splits = [views_of(trial, results.dataset, split) for split in ("train", "val")]
        asked += len(log.epochs) * sum(len(views) for views in splits)
        for views in splits:
            for epoch in range(len(log.epochs)):
                for rendition in views.renditions_of(epoch):
                    key = trial.model.arch, depth, *views.key(rendition).values()
                    needed[key] = len(views)
    return Compute(
        seconds=sum(e.metrics["epoch_seconds"] for log in results.trials for e in log.epochs),
        epochs=sum(len(log.epochs) for log in results.trials),
        asked=asked,
        computed=sum(needed.values()),
    )
