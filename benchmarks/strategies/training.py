"""Trains what is recorded: a config to its end, refitted, or under several seeds that are mixed."""

from __future__ import annotations

import math
import time
from typing import Final

from trainable.config import TrialConfig
from trainable.finetuner import DivergedError, FineTuner
from trainable.network.soup import StateDict, average, greedy_soup
from trainable.runtime import Runtime

MIXED: Final = 3
"""The runs of a finalist in a search: its trial, and two under other seeds."""


def trained(
    trial: TrialConfig, runtime: Runtime, *, is_soup: bool
) -> tuple[list[dict[str, float]], str | None, dict[str, float]]:
    """What is recorded of a run: its epochs, why there are no more, and what else there is."""
    if is_soup:
        return [], None, souped(trial, runtime)
    tuner = FineTuner.on(runtime, trial)
    epochs, error = curve(tuner)
    is_refit = trial.data.keeps_no_validation and error is None
    return epochs, error, refitted_again(tuner, runtime) if is_refit else {}


def curve(tuner: FineTuner) -> tuple[list[dict[str, float]], str | None]:
    """Train a trial to its end; its epochs, and why it has no more of them."""
    epochs: list[dict[str, float]] = []
    best = (-math.inf, -math.inf)
    blind = tuner.config.data.keeps_no_validation  # what it is trained on chooses no epoch
    while not tuner.finished:
        start = time.process_time()
        tuner.inputs.set_epoch(tuner.epoch)
        tuner.inputs.of("val")
        ready = time.process_time()
        try:
            metrics = tuner.train_epoch()
        except DivergedError as error:
            return epochs, str(error)
        del metrics["epoch_seconds"]
        end = time.process_time()
        epochs.append({**metrics, "prepare_seconds": ready - start, "seconds": end - ready})
        rank = tuner.objective.rank(metrics)
        is_tested = tuner.finished if blind else rank > best
        if is_tested:
            best = rank
            test = tuner.evaluate("test")
            epochs[-1] |= {"test_acc": test.accuracy, "test_loss": test.loss}
    return epochs, None


def refitted_again(tuner: FineTuner, runtime: Runtime) -> dict[str, float]:
    """Train a refit again under another seed, and average the two networks.

    Returns:
        The test accuracies of the other (`other_acc`) and of the average (`soup_acc`); nothing
        where it diverged.
    """
    other = FineTuner.on(runtime, _under(tuner.config, tuner.config.train.seed + 1))
    epochs, error = curve(other)
    if error is not None:
        return {}
    other.network.load_tail_state(average([each.network.tail_state() for each in (tuner, other)]))
    other.reestimate_statistics()
    return {"other_acc": epochs[-1]["test_acc"], "soup_acc": other.evaluate("test").accuracy}


def souped(trial: TrialConfig, runtime: Runtime) -> dict[str, float]:
    """Train a config under several seeds, and mix them as a search mixes its finalists' runs.

    Returns:
        The test accuracies of the run that validated best (`best_acc`) and of what is taken, that
        run or the greedy soup (`taken_acc`), the number of networks in it (`mixed`); nothing where
        one diverged.
    """
    runs = []
    for seed in range(trial.train.seed, trial.train.seed + MIXED):
        tuner = FineTuner.on(runtime, _under(trial, seed))
        if (best := _best_state(tuner)) is None:
            return {}
        runs.append(best)
    runs.sort(key=lambda run: run[0], reverse=True)

    def score(state: StateDict) -> tuple[float, float]:
        tuner.network.load_tail_state(state)
        tuner.reestimate_statistics()
        return tuner.objective.rank_of(tuner.evaluate("val"))

    state, mixed = greedy_soup([state for _, state in runs], score)
    found = score(state)
    soup = tuner.evaluate("test").accuracy
    tuner.network.load_tail_state(runs[0][1])
    best_acc = tuner.evaluate("test").accuracy
    is_taken = len(mixed) > 1 and found > runs[0][0]
    taken = {"taken_acc": soup if is_taken else best_acc, "mixed": len(mixed) if is_taken else 1}
    return {"best_acc": best_acc, **taken}


def _best_state(tuner: FineTuner) -> tuple[tuple[float, float], StateDict] | None:
    """How good a trial's best epoch is, and its weights then; None where it diverged."""
    rank, state = (-math.inf, -math.inf), StateDict()
    while not tuner.finished:
        try:
            metrics = tuner.train_epoch()
        except DivergedError:
            return None
        if (now := tuner.objective.rank(metrics)) > rank:
            rank = now
            state = {key: value.clone() for key, value in tuner.network.tail_state().items()}
    return rank, state


def _under(trial: TrialConfig, seed: int) -> TrialConfig:
    return trial.model_copy(update={"train": trial.train.model_copy(update={"seed": seed})})
