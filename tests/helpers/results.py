"""What a made-up search came to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory
from trainable.data.datasets import Dataset, Split
from trainable.judging.predictions import Predictions
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.reporting.results import Model, SearchResults
from tune.study.ledger import Ledger
from tune.study.trial import FACTS, Decision, TrialState


def add_trial(
    ledger: Ledger,
    scores: Sequence[float],
    state: TrialState = TrialState.COMPLETE,
    error: str | None = None,
) -> None:
    """A trial whose accuracies are given, by epoch, and whose losses mirror them."""
    number = ledger.begin().number
    for epoch, score in enumerate(scores, 1):
        names = ledger.objective.epoch_metrics
        falling = ("loss", "cost")
        metrics = {name: 1 - score if name.endswith(falling) else score for name in names}
        result = metrics | dict.fromkeys(FACTS, "x")
        decision = Decision.STOP if state is TrialState.PRUNED else Decision.GO_ON
        ledger.add_epoch(number, epoch, result, decision)
    ledger.end(number, state, error)


def made_up(config: SearchConfig, count: int) -> Ledger:
    """A search's trials, of which two in three were stopped after 1 or 2 epochs."""
    ledger, draw = ledger_in_memory(config), np.random.default_rng(0)
    for number in range(count):
        epochs = 6 if number % 3 == 0 else number % 3
        level = draw.uniform(0.3, 0.9)
        scores = [level + (1 - level) * epoch / 10 for epoch in range(1, epochs + 1)]
        add_trial(ledger, scores, TrialState.COMPLETE if epochs == 6 else TrialState.PRUNED)
    return ledger


def results_of(dataset: Dataset, count: int, *words: str) -> SearchResults:
    """The results of made-up trials, with answers of which 7 are wrong, if there are so many."""
    labels = dataset.test.labels
    wrong = min(7, len(labels))
    logits = torch.nn.functional.one_hot(labels, len(dataset.classes)).float() * 4
    logits[:wrong] = logits[:wrong].roll(1, dims=1) * torch.linspace(0.5, 2, wrong)[:, None]
    return SearchResults(
        name="many",
        ledger=made_up(load_config(DIGITS, words), count),
        dataset=dataset,
        model=Model(("trial-000",), 6, 0.9),
        test=Predictions(logits, labels),
        decision="the first champion",
    )


def dataset_of(classes: Sequence[str], images: int = 2, side: int = 8) -> Dataset:
    """A dataset with so many images of each class in each of its splits."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(len(classes)).repeat(images)
    shape = (len(labels), 3, side, side)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=draw)
    split = Split(pixels, labels)
    return Dataset(split, split, split, tuple(classes), "made up")
