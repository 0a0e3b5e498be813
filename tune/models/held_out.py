"""What a search's models say of images that they were not trained on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.config import DataConfig
from trainable.data.datasets import Dataset
from trainable.judging.predictions import Predictions
from trainable.judging.validated import read_validated
from tune.models.candidates import Run, trained
from tune.soundness.labels import Judged
from tune.strategy.confirmation import Finalist
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledgers


def held_out(
    winner: Finalist,
    ledgers: Ledgers,
    home: SearchFolder,
    whole: Dataset,
    test: Predictions | None,
    *,
    again: bool = False,
) -> Judged | None:
    """What models of the winner say of the images that they were not trained on.

    Where the winner ran on folds, each of its runs judges its fold, as it was after the epoch that
    was best there: so all training and validation images are judged. Where it did not, the winner
    judges the validation images alone. The test images are judged by the search's model.

    Args:
        winner: The search's.
        ledgers: Its trials.
        home: Its folder.
        whole: Its images, without folds.
        test: The model's predictions on the test images, if there are any.
        again: Whether a run whose predictions are not recorded is restored, or trained again,
            to make them.

    Returns:
        The answers to the images in the order of training, validation and test; None if there are
        none.
    """
    sums = np.zeros((sum(_sizes(whole)), len(whole.classes)), np.float64)
    times = np.zeros(len(sums), np.int64)
    judges = 0
    for run in _runs(winner, ledgers):
        answers = _answers(run, home, again=again)
        if answers is not None:
            at = _validated(whole, run.config.data)
            sums[at] += answers.probabilities
            times[at] += 1
            judges += 1
    told = [_told(winner, judges, int((times > 0).sum()))] if judges else []
    if test is not None and len(test.labels) == len(whole.test):
        first = len(whole.train) + len(whole.val)
        sums[first:] += test.probabilities
        times[first:] += 1
        told.append(f"{len(whole.test):,} test images judged by the search's model")
    if not told:
        return None
    indices = np.flatnonzero(times)
    means = sums[indices] / times[indices, None]
    return Judged(indices, means.astype(np.float32), " and ".join(told))


def _sizes(whole: Dataset) -> tuple[int, int, int]:
    return len(whole.train), len(whole.val), len(whole.test)


def _runs(winner: Finalist, ledgers: Ledgers) -> Iterator[Run]:
    """The runs that have images which they were not trained on, each with other images."""
    if winner.is_over_folds and ledgers.confirmed is not None:
        yield from (Run.of(log, ledgers.confirmed) for log in winner.runs)
    else:
        yield Run.of(winner.trial, ledgers.searched)


def _answers(run: Run, home: SearchFolder, *, again: bool) -> Predictions | None:
    """A run's predictions on its validation images, as it was after its best epoch."""
    recorded = read_validated(home.trial(run.log.number, run.kind))
    if recorded is not None or not again:
        return recorded
    return trained(run, home).evaluate("val")


def _validated(whole: Dataset, config: DataConfig) -> NDArray[np.int64]:
    """Where the validation images of a run are among all images."""
    if config.fold is None:
        return np.arange(len(whole.train), len(whole.train) + len(whole.val))
    pool = whole.folded(config.fold).pool
    assert pool is not None
    return torch.as_tensor(pool.places["val"]).numpy()


def _told(winner: Finalist, judges: int, images: int) -> str:
    if not winner.is_over_folds:
        return f"{images:,} validation images judged by the winner"
    folds = "1 fold" if judges == 1 else f"{judges} folds"
    return f"{images:,} training and validation images judged by the winner's runs on {folds}"
