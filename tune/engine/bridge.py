"""The ledger, as Ray Tune asks for trials and tells what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from optuna.trial import TrialState
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from trainable.ray_trainable import TrialSpec
from tune.engine.cluster import DriverOnly, TrialResources
from tune.errors import Halt
from tune.study.folder import SearchHome
from tune.study.ledger import Ledger
from tune.study.trial import METRIC, MODE, TrialLog


class Watcher(Protocol):
    """Something that follows the ledger."""

    def changed(self, trial: TrialLog) -> None:
        """A trial has begun, has told an epoch, or has ended."""


class LedgerSearcher(DriverOnly, Searcher):
    """Has Ray run the trials that a ledger proposes.

    Args:
        ledger: Of the search; the base of its config gives every value that is not searched.
        home: Of the search, in which each trial has a folder.
        resources: What a trial gets.
    """

    def __init__(
        self,
        ledger: Ledger,
        home: SearchHome,
        resources: TrialResources,
    ) -> None:
        super().__init__(metric=METRIC, mode=MODE)
        self._ledger, self._home = ledger, home
        self._resources = resources

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial, as Ray passes it to the trainable; None if one may come back yet."""
        if not self._ledger.has_more():
            return None if self._ledger.unfinished else Searcher.FINISHED
        log, search = self._ledger.begin(), self._ledger.config
        return dict(
            TrialSpec(
                number=log.number,
                trial=search.trial(log.params).model_dump(mode="json"),
                folder=str(self._home.trial(log.number, self._ledger.kind)),
                runtime=asdict(search.runtime(self._resources.memory_fraction)),
            )
        )

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: :class:`LedgerCallback` hears it too, and why."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger's storage holds all there is."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore, for the same reason."""


class LedgerCallback(DriverOnly, Callback):
    """Notes in a ledger what Ray's trials tell, and says so to those who follow it.

    Args:
        ledger: Of the search.
        watchers: Who is told of each change, in this order.
        max_failures: How often a trial goes on after its worker died.
    """

    def __init__(self, ledger: Ledger, watchers: Sequence[Watcher], max_failures: int = 0) -> None:
        self._ledger, self._watchers, self._max_failures = ledger, watchers, max_failures
        self._failures: Counter[int] = Counter()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial has begun, or goes on."""
        self._tell(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note an epoch.

        Raises:
            Halt: The trial cannot go on, and neither can another.
        """
        if "halt" in result:
            raise Halt(result["halt"])
        if "error" in result:
            return
        # What ends without having ended itself, the scheduler ends.
        stopped = bool(result["done"]) and not result["finished"]
        self._ledger.add_epoch(trial.config["number"], result["epoch"], result, stopped=stopped)
        self._tell(trial)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Note the end of a trial that ended or was stopped."""
        result = trial.last_result
        if "error" in result:
            self._end(trial, TrialState.FAIL, result["error"])
        else:
            finished = result["finished"]
            self._end(trial, TrialState.COMPLETE if finished else TrialState.PRUNED)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Have a trial go on whose worker died, or note its end if that was once too often.

        Ray would have some of them go on too, but not one whose worker dies between two trials.
        """
        number = trial.config["number"]
        self._failures[number] += 1
        if self._failures[number] <= self._max_failures:
            self._ledger.release(number)
        else:
            self._end(trial, TrialState.FAIL, error_of(trial))

    def _end(self, trial: Trial, state: TrialState, error: str | None = None) -> None:
        self._ledger.end(trial.config["number"], state, error)
        self._tell(trial)

    def _tell(self, trial: Trial) -> None:
        log = self._ledger.trials[trial.config["number"]]
        for watcher in self._watchers:
            watcher.changed(log)


def error_of(trial: Trial) -> str:
    """What broke a trial, in a line."""
    # Not trial.get_error(), whose file in the experiment's storage comes later.
    path = trial.error_file
    last = Path(path).read_text().rpartition("Failure # ")[2] if path else ""
    lines = last.strip().splitlines()
    if any("ActorDiedError" in line or "The actor died" in line for line in lines):
        return "its worker died: killed, or out of memory"
    return lines[-1][:500] if lines else "unknown error"
