"""The ledger and the scheduler, as Ray Tune asks for trials and reports what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from pydantic import ValidationError
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from trainable.ray_trainable import TrialSpec
from tune.base.errors import Halt
from tune.config.rules import first_broken
from tune.engine.pressure import MemoryPressure
from tune.engine.ray_compat import (
    DriverOnly,
    Workers,
    error_of,
    give_back,
    killed_for_memory,
    lost_with_node,
)
from tune.engine.resources import TrialResources
from tune.engine.stopping import TimeBudget
from tune.strategy.schedulers import Scheduler
from tune.strategy.scheduling import next_trial
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.shared import OWNER
from tune.study.trial import NO_TRIAL, Decision, Epoch, TrialLog, TrialState


class Watcher(Protocol):
    """Something that follows the ledger."""

    def changed(self, trial: TrialLog) -> None:
        """A trial has started, has reported an epoch, has been paused or has ended."""


class LedgerSearcher(DriverOnly, Searcher):
    """Has Ray run the trials that a ledger proposes, and those that a scheduler lets go on.

    Args:
        ledger: The search's ledger; its config gives every value that is not searched.
        scheduler: Says which paused trials go on.
        home: The search's folder, in which each trial has one.
        resources: What a trial gets.
        pressure: Says when trials may start.
        budget: When the time is up.
        watchers: Those that are notified of each change, in this order.
        fingerprint: The images' that each trial is to find.
        capacity: Says how many trials fit at once now; None where Ray is told once for all.
    """

    def __init__(
        self,
        ledger: Ledger,
        scheduler: Scheduler,
        home: SearchFolder,
        resources: TrialResources,
        pressure: MemoryPressure,
        budget: TimeBudget,
        watchers: Sequence[Watcher],
        fingerprint: str,
        capacity: Callable[[], int] | None = None,
    ) -> None:
        objective = ledger.objective
        super().__init__(metric=objective.name, mode="max" if objective.maximizes else "min")
        self._ledger, self._scheduler, self._home = ledger, scheduler, home
        self._resources, self._watchers = resources, watchers
        self._pressure, self._budget = pressure, budget
        self._fingerprint, self._capacity = fingerprint, capacity

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial, as Ray passes it to the trainable; None if one may come yet."""
        running = len(self._ledger.running)
        is_full = self._capacity is not None and running >= self._capacity()
        if is_full or self._pressure.holds_back(running):
            # While nothing runs, Ray asks here alone.
            return Searcher.FINISHED if self._budget.stop_all() else None
        while (log := next_trial(self._ledger, self._scheduler, self._notify)) is not None:
            try:
                return dict(self._spec(log))
            except ValidationError as error:
                self._end_unrun(log, f"{NO_TRIAL}: {first_broken(error).rule}")
        if self._ledger.running:
            return None
        for paused in self._ledger.paused:  # no one lets them go on any more
            self._end_unrun(paused)
        return Searcher.FINISHED

    def _end_unrun(self, log: TrialLog, error: str | None = None) -> None:
        state = TrialState.PRUNED if error is None else TrialState.FAIL
        self._ledger.end(log.number, state, error)
        self._notify(log)

    def _notify(self, log: TrialLog) -> None:
        for watcher in self._watchers:
            watcher.changed(log)

    def _spec(self, log: TrialLog) -> TrialSpec:
        search = self._ledger.config
        spec = TrialSpec(
            number=log.number,
            trial=search.trial(log.params).model_dump(mode="json"),
            folder=str(self._home.trial(log.number, self._ledger.kind)),
            runtime=asdict(search.runtime(self._resources.memory_fraction)),
            fingerprint=self._fingerprint,
        )
        if self._home.shared is not None:
            spec["owner"] = OWNER
        return spec

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: :class:`LedgerCallback` is notified too, with the reason."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger's storage holds all there is."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore, for the same reason."""


class LedgerScheduler(DriverOnly, FIFOScheduler):
    """Notes each epoch with the decision of a scheduler, and has Ray do what was decided.

    A paused trial ends as far as Ray is concerned: when it goes on, it is a new trial of Ray's
    in the same folder, as after a kill.

    Args:
        ledger: The search's ledger.
        scheduler: Decides, as a function of it.
    """

    def __init__(self, ledger: Ledger, scheduler: Scheduler) -> None:
        super().__init__()
        self._ledger, self._scheduler = ledger, scheduler
        self._controller: Any = None

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """As Ray does; its controller is noted."""
        self._controller = tune_controller
        return super().choose_trial_to_run(tune_controller)

    def release(self) -> None:
        """Give back what Ray holds for trials."""
        give_back(self._controller)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether a trial goes on: decided once, and the same when it is asked again."""
        number, number_of_epoch = trial.config["number"], result["epoch"]
        known = self._ledger.decision(number, number_of_epoch)
        if known is None:
            log, metrics = self._ledger.trials[number], self._ledger.objective.epoch_metrics
            epoch = Epoch({name: result[name] for name in metrics}, at=0)
            decision = self._scheduler.decide(self._ledger, log, epoch)
            self._ledger.add_epoch(number, number_of_epoch, result, decision)
        else:  # one that was paused has been let go on since
            decision = Decision.GO_ON if known is Decision.PAUSE else known
        return TrialScheduler.CONTINUE if decision is Decision.GO_ON else TrialScheduler.STOP


class LedgerCallback(DriverOnly, Callback):
    """Notes in a ledger what becomes of Ray's trials, and notifies those that follow it.

    Args:
        ledger: The search's ledger.
        watchers: Those that are notified of each change, in this order.
        pressure: Is notified of what Ray kills for lack of memory.
        budget: When the time is up.
        max_failures: How often a trial goes on after its worker died.
    """

    def __init__(
        self,
        ledger: Ledger,
        watchers: Sequence[Watcher],
        pressure: MemoryPressure,
        budget: TimeBudget,
        max_failures: int = 0,
    ) -> None:
        self._ledger, self._watchers, self._max_failures = ledger, watchers, max_failures
        self._pressure, self._budget, self._workers = pressure, budget, Workers()
        self._failures: Counter[int] = Counter()

    def kill_workers(self) -> None:
        """End the processes of all trials, whatever they do."""
        self._workers.kill()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial has started, or goes on."""
        self._workers.add(trial)
        self._notify(trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Once the time is up, do not let the workers finish the epochs that they are at."""
        if self._budget.stop_all():
            self._workers.kill()

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
        # The last epoch of a trial that ends itself: Ray asks no scheduler about it.
        self._ledger.add_epoch(trial.config["number"], result["epoch"], result, Decision.GO_ON)
        self._pressure.reported()
        self._notify(trial)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Note the end of a trial that ended itself or was stopped, or that it pauses."""
        number, result = trial.config["number"], trial.last_result
        if "error" in result:
            self._end(trial, TrialState.FAIL, result["error"])
        elif result["finished"]:
            self._end(trial, TrialState.COMPLETE)
        elif self._ledger.trials[number].is_paused:
            self._ledger.release(number)
            self._notify(trial)
        else:
            self._end(trial, TrialState.PRUNED)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Have a trial go on whose worker died, or note its end if that was once too often.

        Ray would have some of them go on too, but not one whose worker dies between two trials.

        Raises:
            Halt: Ray kills them for lack of memory, again and again.
        """
        number = trial.config["number"]
        if lost_with_node(trial):  # a preempted machine is no trial's fault
            self._ledger.release(number)
            return
        if killed_for_memory(trial):  # whatever it is that takes the memory
            running = len(self._ledger.running)
            self._ledger.release(number)
            self._pressure.killed(running)
            return
        self._failures[number] += 1
        if self._failures[number] <= self._max_failures:
            self._ledger.release(number)
        else:
            self._end(trial, TrialState.FAIL, error_of(trial))

    def _end(self, trial: Trial, state: TrialState, error: str | None = None) -> None:
        self._ledger.end(trial.config["number"], state, error)
        self._pressure.ended()
        self._notify(trial)

    def _notify(self, trial: Trial) -> None:
        log = self._ledger.trials[trial.config["number"]]
        for watcher in self._watchers:
            watcher.changed(log)
