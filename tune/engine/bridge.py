"""The ledger and the scheduler, as Ray Tune asks for trials and reports what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from trainable.ray_trainable import TrialSpec
from tune.config.rules import first_broken
from tune.engine.callback import Watcher
from tune.engine.pressure import MemoryPressure
from tune.engine.ray_compat import DriverOnly, give_back, start_all_pending
from tune.engine.resources import TrialResources
from tune.engine.stopping import TimeBudget
from tune.strategy.schedulers import Scheduler
from tune.strategy.scheduling import next_trial
from tune.study.fingerprints import hash_of
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.trial import NO_TRIAL, Decision, Epoch, TrialLog, TrialState


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
        weights_hash: The search's: of the first weights that each trial is to find.
        capacity: Says how many trials fit at once now; None where that never changes.
        search: The identity of the search that each trial is to find beside its folder; None where
            all trials run on this machine.
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
        weights_hash: str | None = None,
        capacity: Callable[[], int] | None = None,
        search: str | None = None,
    ) -> None:
        objective = ledger.objective
        super().__init__(metric=objective.name, mode="max" if objective.maximizes else "min")
        self._ledger, self._scheduler, self._home = ledger, scheduler, home
        self._resources, self._watchers = resources, watchers
        self._pressure, self._budget = pressure, budget
        self._fingerprint, self._weights_hash = fingerprint, weights_hash
        self._capacity, self._search = capacity, search

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
        trial = search.trial(log.params)
        spec = TrialSpec(
            number=log.number,
            trial=trial.model_dump(mode="json"),
            folder=str(self._home.trial(log.number, self._ledger.kind)),
            runtime=asdict(search.runtime(self._resources.memory_fraction)),
            fingerprint=self._fingerprint,
        )
        if self._weights_hash is not None:
            weights, arch = trial.model.weights[0], trial.model.arch
            spec["weights_hash"] = hash_of(self._weights_hash, weights, arch)
        if self._search is not None:
            spec["owner"], spec["search"] = self._home.owner, self._search
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
        """None: Ray starts those that are pending in their order, which the searcher has decided.

        Ray's own choice is the first that is pending, also where its worker is about to start: then
        the worker of a trial that has just ended takes it over, and the one that is starting is
        thrown away. Where trials end more often than a worker takes to start, a cluster would never
        fill up. And it looks at every trial that there ever was.
        """
        if self._controller is None:
            start_all_pending(tune_controller)
        self._controller = tune_controller
        return None

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
