"""What the trials of a search took, and what the store of frozen layers' outputs saved."""

from __future__ import annotations

from dataclasses import dataclass

from trainable.config import MAX_DEPTH
from trainable.features.batches import views_of
from tune.reporting.results import SearchResults


@dataclass(frozen=True)
class Compute:
    """The compute of a search.

    Attributes:
        seconds: The duration of all epochs together.
        epochs: The number of epochs of all trials.
        asked: Images that had to pass the frozen layers, had every trial computed them.
        computed: Images that passed them, the store being empty at first.
    """

    seconds: float
    epochs: int
    asked: int
    computed: int

    @property
    def saved(self) -> float:
        """The share of the passes through frozen layers that were not computed, 0 to 1."""
        return 1 - self.computed / self.asked if self.asked else 0.0


def compute_of(results: SearchResults) -> Compute:
    """Add up the epochs of a search, by the keys of the store."""
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
