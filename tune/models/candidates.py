"""What may be registered: the best run, the soup of the finalists' weights, the winner's refit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

from trainable.checkpoints import BEST, CheckpointError, Checkpoints
from trainable.config import TrialConfig
from trainable.files.remote import below
from trainable.finetuner import FineTuner
from trainable.inference.calibration import NONE, Calibration, calibrate
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from trainable.network.soup import StateDict, greedy_soup
from tune.config.schema import SearchConfig
from tune.models.comparison import compare_predictions
from tune.strategy.confirmation import Finalist
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.search import Kind, run_name
from tune.study.shared import TrialFolders
from tune.study.trial import TrialLog

_ALPHA: Final = 0.05
"""How likely it is at most that a refit which knows as much as the single run is refused."""

Folders: TypeAlias = SearchFolder | TrialFolders
"""What says where a run's checkpoints are."""


@dataclass(frozen=True)
class Run:
    """A trial with what its ledger says of it, and so with its config and its folder.

    Attributes:
        log: The trial.
        search: The config of its search.
        kind: What it is.
    """

    log: TrialLog
    search: SearchConfig
    kind: Kind

    @classmethod
    def of(cls, log: TrialLog, ledger: Ledger) -> Run:
        """A trial of a ledger."""
        return cls(log, ledger.config, ledger.kind)

    @property
    def name(self) -> str:
        """What its run in MLflow and its folder are called."""
        return run_name(self.kind, self.log.number)

    @property
    def config(self) -> TrialConfig:
        """The trial's."""
        return self.search.trial(self.log.params)

    @property
    def epoch(self) -> int:
        """The number of the epoch after which its weights are taken: its best one.

        Without validation images it is the last.
        """
        assert self.log.best is not None
        return len(self.log.epochs) if self.config.data.keeps_no_validation else self.log.best


@dataclass(frozen=True)
class Candidate:
    """A trained model, and how good it is on the validation images.

    Attributes:
        name: `single`, `soup` or `refit`.
        objective: What its search was after.
        tuner: Holds the model.
        val: Its predictions on the validation images, on which a refit has trained.
        runs: The runs whose weights are in it: one, or those of a soup, the best first.
        lent: What a refit's probabilities are worth, by the single run of its recipe.
    """

    name: str
    objective: Objective
    tuner: FineTuner
    val: Predictions
    runs: tuple[Run, ...]
    lent: Calibration = NONE

    @property
    def ingredients(self) -> tuple[str, ...]:
        """The names of its runs, such as `trial-003`."""
        return tuple(run.name for run in self.runs)

    @cached_property
    def calibration(self) -> Calibration:
        """What its probabilities are worth, by the validation images.

        A refit has trained on those, and has what it is lent.
        """
        return self.lent if self.name == "refit" else calibrate(self.val)

    @property
    def rank(self) -> tuple[float, float]:
        """What makes it better than another."""
        return self.objective.rank_of(self.val)


def lent_calibration(val: Predictions, epoch: int, epochs: int) -> Calibration:
    """What a refit's probabilities are worth, as far as the single run of its recipe tells.

    Of one that was taken after half of the epochs or more, the refit's cross-entropy was the lower
    for it; of an earlier one, as often the higher (`benchmarks/refit.py`).

    Args:
        val: The single's predictions on the validation images.
        epoch: The number of the epoch after which it was taken.
        epochs: Those of the refit.

    Returns:
        :data:`NONE` where it was taken earlier.
    """
    return calibrate(val) if 2 * epoch >= epochs else NONE


def is_better(soup: Candidate, single: Candidate) -> bool:
    """Whether a soup is taken: of equals, the single run is."""
    return soup.rank > single.rank


def single(run: Run, home: Folders, memory_fraction: float | None = None) -> Candidate:
    """A run, as it was after its best epoch."""
    tuner = trained(run, home, memory_fraction)
    return Candidate("single", tuner.objective, tuner, tuner.evaluate("val"), (run,))


def refit(
    run: Run, home: Folders, single: Candidate, memory_fraction: float | None = None
) -> Candidate | None:
    """A winner that was trained on the validation images too.

    No images are left to judge it by. None if it clearly knows those that it was trained on less
    well than the single run does, which was not: something has gone wrong then. That of few images
    it knows a few less says nothing: by these, the single was chosen.
    """
    tuner = trained(run, home, memory_fraction)
    val = tuner.evaluate("val")
    compared = compare_predictions(tuner.objective, single.val, val, 2 * _ALPHA)  # of two sides
    if compared.is_significant and not compared.is_better:
        return None
    lent = lent_calibration(single.val, single.runs[0].epoch, run.epoch)
    return Candidate("refit", tuner.objective, tuner, val, (run,), lent)


def soup(
    runs: Sequence[Run], home: Folders, memory_fraction: float | None = None
) -> Candidate | None:
    """The greedy soup of runs, the best first, by what their search was after.

    None where nothing improves the best run: that is no soup.

    They may have been trained to different depths: the soup has all that any of them trained, and
    what one left frozen is, in that one, what it started from. Those of another architecture than
    the best are left out.
    """
    arch = runs[0].config.model.arch
    runs = [run for run in runs if run.config.model.arch == arch]
    weights: list[StateDict] = []
    for run in runs:
        weights.append(trained(run, home, memory_fraction).weights())
    depth = max(run.config.model.unfreeze_depth for run in runs)
    best = runs[0].config
    model = best.model.model_copy(update={"unfreeze_depth": depth})
    # The soup is an average already.
    optim = best.optim.model_copy(update={"ema": 0.0})
    mixed = best.model_copy(update={"model": model, "optim": optim})
    tuner = _tuner(mixed, runs[0].search, 1, memory_fraction)
    objective = tuner.objective
    tails = [tuner.network.tail_of(state) for state in weights]

    def score(state: StateDict) -> tuple[float, float]:
        tuner.network.load_tail_state(state)
        tuner.reestimate_statistics()
        return objective.rank_of(tuner.evaluate("val"))

    state, ingredients = greedy_soup(tails, score)
    if len(ingredients) == 1:
        return None
    score(state)  # leaves it in the tuner
    taken = tuple(runs[index] for index in ingredients)
    return Candidate("soup", objective, tuner, tuner.evaluate("val"), taken)


def finalist_runs(finalists: Sequence[Finalist], searched: Ledger, confirmed: Ledger) -> list[Run]:
    """All runs of the finalists that are judged by the same images, the best epoch first.

    But for the winner's best, which comes before all: what is registered is the winner, or that
    with others' weights in it, whatever luckier run a loser has had.

    Args:
        finalists: The winner first.
        searched: The search's trials.
        confirmed: The finalists' runs.
    """
    runs = [
        Run.of(log, ledger)
        for finalist in finalists
        for ledger, logs in (
            (searched, [finalist.trial]),
            (confirmed, [] if finalist.is_over_folds else finalist.runs),
        )
        for log in logs
    ]
    runs.sort(key=lambda run: run.log.rank, reverse=True)
    own = {id(log) for log in (finalists[0].trial, *finalists[0].runs)}
    first = next(run for run in runs if id(run.log) in own)
    return [first, *(run for run in runs if run is not first)]


def trained(run: Run, home: Folders, memory_fraction: float | None = None) -> FineTuner:
    """A run as it was after its best epoch: by its checkpoint, or trained again.

    A worker that Ray has given up may still have written the epoch that it was at, after the one
    that took the trial over has written a later and better one.
    """
    micro_batches = run.log.facts["micro_batches"]
    tuner = _tuner(run.config, run.search, micro_batches, memory_fraction)
    checkpoints = Checkpoints(home.trial(run.log.number, run.kind), run.config)
    try:
        state = checkpoints.best()["tuner"]
        if state["epoch"] < run.epoch:
            path = below(home.trial(run.log.number, run.kind), BEST)
            raise CheckpointError(f"{path} is of epoch {state['epoch']}, not of {run.epoch}")
        tuner.load_state_dict(state)
    except CheckpointError as error:
        warnings.warn(f"{error}: the trial is run again", stacklevel=2)
        while tuner.epoch != run.epoch:
            tuner.train_epoch()
    return tuner


def _tuner(
    config: TrialConfig, search: SearchConfig, micro_batches: int, memory_fraction: float | None
) -> FineTuner:
    return FineTuner.on(search.runtime(memory_fraction), config, micro_batches)
